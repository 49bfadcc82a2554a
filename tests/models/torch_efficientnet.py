"""An oracle: EfficientNet-Lite0 in float64 numpy, under the names of the PyTorch port."""

import itertools

import numpy as np

# Kernel, stride, expansion, channels out of every block, at the published width.
BLOCKS = [
    (3, 1, 1, 16), (3, 2, 6, 24), (3, 1, 6, 24), (5, 2, 6, 40), (5, 1, 6, 40),
    (3, 2, 6, 80), (3, 1, 6, 80), (3, 1, 6, 80), (5, 1, 6, 112), (5, 1, 6, 112),
    (5, 1, 6, 112), (5, 2, 6, 192), (5, 1, 6, 192), (5, 1, 6, 192), (5, 1, 6, 192),
    (3, 1, 6, 320),
]  # fmt: skip
STAGE_ENDS = {0: 'stage1', 2: 'stage2', 4: 'stage3', 7: 'stage4', 10: 'stage5',
              14: 'stage6', 15: 'stage7'}  # fmt: skip


def tensors(*, divisor=16, classes=0, seed=0):
    """Random tensors of a network with channels over `divisor`, statistics included."""
    rng = np.random.default_rng(seed)
    scaled = lambda channels: max(1, channels // divisor)
    out = {}

    def conv(key, wide, narrow, size):
        spread = np.sqrt(2 / (narrow * size * size))
        out[f'{key}.weight'] = rng.normal(size=(wide, narrow, size, size)) * spread

    def norm(key, wide):
        out[f'{key}.weight'] = rng.uniform(0.5, 1.5, wide)
        out[f'{key}.bias'] = rng.normal(size=wide) / 10
        out[f'{key}.running_mean'] = rng.normal(size=wide) / 10
        out[f'{key}.running_var'] = rng.uniform(0.5, 1.5, wide)
        out[f'{key}.num_batches_tracked'] = np.array(7)

    conv('_conv_stem', scaled(32), 3, 3)
    norm('_bn0', scaled(32))
    channels = scaled(32)
    for n, (size, _, expansion, wide) in enumerate(BLOCKS):
        inner = channels * expansion
        if expansion > 1:
            conv(f'_blocks.{n}._expand_conv', inner, channels, 1)
            norm(f'_blocks.{n}._bn0', inner)
        conv(f'_blocks.{n}._depthwise_conv', inner, 1, size)
        norm(f'_blocks.{n}._bn1', inner)
        conv(f'_blocks.{n}._project_conv', scaled(wide), inner, 1)
        norm(f'_blocks.{n}._bn2', scaled(wide))
        channels = scaled(wide)
    conv('_conv_head', scaled(1280), channels, 1)
    norm('_bn1', scaled(1280))
    if classes:
        out['_fc.weight'] = rng.normal(size=(classes, scaled(1280))) / 10
        out['_fc.bias'] = rng.normal(size=classes)
    narrow = lambda x: x if x.dtype == np.int64 else x.astype(np.float32)
    return {key: narrow(value) for key, value in out.items()}


def forward(weights, images):
    """Maps by our names of normalised `[B, H, W, 3]` images, and 'logits'."""
    w = {key: value.astype(np.float64) for key, value in weights.items()}
    x = conv(images.astype(np.float64), w['_conv_stem.weight'], 2)
    maps = {'stem': relu6(norm(x, w, '_bn0'))}
    x = maps['stem']
    for n, (_, stride, expansion, _) in enumerate(BLOCKS):
        key, start = f'_blocks.{n}.', x
        if expansion > 1:
            x = conv(x, w[f'{key}_expand_conv.weight'], 1)
            x = relu6(norm(x, w, f'{key}_bn0'))
        x = depthwise(x, w[f'{key}_depthwise_conv.weight'], stride)
        x = relu6(norm(x, w, f'{key}_bn1'))
        x = norm(conv(x, w[f'{key}_project_conv.weight'], 1), w, f'{key}_bn2')
        if n and stride == 1 and BLOCKS[n][3] == BLOCKS[n - 1][3]:
            x = x + start
        if n in STAGE_ENDS:
            maps[STAGE_ENDS[n]] = x
    maps['head'] = relu6(norm(conv(x, w['_conv_head.weight'], 1), w, '_bn1'))
    mean = maps['head'].mean((1, 2))
    return maps | {'logits': mean @ w['_fc.weight'].T + w['_fc.bias']}


def windows(x, size, stride):
    """`[B, h, w, size, size, C]`, edges as TensorFlow's 'SAME' has them."""
    b, h, w, c = x.shape
    rows, columns = -(-h // stride), -(-w // stride)
    out = np.zeros((b, rows, columns, size, size, c))
    top = max((rows - 1) * stride + size - h, 0) // 2
    left = max((columns - 1) * stride + size - w, 0) // 2
    for r, s, i, j in itertools.product(*map(range, (rows, columns, size, size))):
        y, z = r * stride + i - top, s * stride + j - left
        if 0 <= y < h and 0 <= z < w:
            out[:, r, s, i, j] = x[:, y, z]
    return out


def conv(x, kernel, stride):
    seen = windows(x, kernel.shape[-1], stride)
    return np.einsum('brsijc,ocij->brso', seen, kernel, optimize=True)


def depthwise(x, kernel, stride):
    seen = windows(x, kernel.shape[-1], stride)
    return np.einsum('brsijc,cij->brsc', seen, kernel[:, 0])


def norm(x, w, key):
    spread = np.sqrt(w[f'{key}.running_var'] + 1e-3)
    centred = (x - w[f'{key}.running_mean']) / spread
    return centred * w[f'{key}.weight'] + w[f'{key}.bias']


def relu6(x):
    return np.clip(x, 0, 6)
