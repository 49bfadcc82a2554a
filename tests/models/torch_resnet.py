"""An oracle: ResNets in float64 numpy, in PyTorch's layout and under its names."""

import numpy as np


def tensors(depths, *, bottleneck, width=8, stem=7, classes=0, seed=0):
    """Random tensors under torchvision's names, statistics included."""
    rng = np.random.default_rng(seed)
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

    conv('conv1', width, 3, stem)
    norm('bn1', width)
    channels = width
    for stage, depth in enumerate(depths):
        inner = width * 2**stage
        wide = inner * (4 if bottleneck else 1)
        for i in range(depth):
            block = f'layer{stage + 1}.{i}'
            plan = [(channels, inner, 3), (inner, inner, 3)]
            if bottleneck:
                plan = [(channels, inner, 1), (inner, inner, 3), (inner, wide, 1)]
            for n, (narrow, features, size) in enumerate(plan, start=1):
                conv(f'{block}.conv{n}', features, narrow, size)
                norm(f'{block}.bn{n}', features)
            if i == 0 and (stage > 0 or bottleneck):
                conv(f'{block}.downsample.0', wide, channels, 1)
                norm(f'{block}.downsample.1', wide)
            channels = wide
    if classes:
        out['fc.weight'] = rng.normal(size=(classes, channels)) / 10
        out['fc.bias'] = rng.normal(size=classes)
    narrow = lambda x: x if x.dtype == np.int64 else x.astype(np.float32)
    return {key: narrow(value) for key, value in out.items()}


def forward(weights, images, *, last_stride=2, pool=True):
    """Maps by our names of `[B, 3, H, W]` images, and 'logits' if there is an fc."""
    w = {key: value.astype(np.float64) for key, value in weights.items()}
    x = conv(images.astype(np.float64), w['conv1.weight'], 2)
    x = np.maximum(norm(w, 'bn1', x), 0)
    maps = {'stem': x}
    x = max_pool(x) if pool else x
    for stage, stride in enumerate((1, 2, 2, last_stride), start=1):
        i = 0
        while f'layer{stage}.{i}.conv1.weight' in w:
            x = _block(w, f'layer{stage}.{i}', x, stride if i == 0 else 1)
            i += 1
        maps[f'stage{stage}'] = x
    if 'fc.weight' in w:
        logits = x.mean((2, 3)) @ w['fc.weight'].T
        maps['logits'] = logits + w['fc.bias'][None]
    return maps


def conv(x, kernel, stride):
    """Convolution with zeros around, half the kernel on every side."""
    patches = _patches(x, kernel.shape[-1], stride, 0.0)
    return np.einsum('oiuv,bihwuv->bohw', kernel, patches, optimize=True)


def norm(w, key, x):
    """Batch norm by running statistics."""
    mean, var, scale, bias = (
        w[f'{key}.{leaf}'][None, :, None, None]
        for leaf in ('running_mean', 'running_var', 'weight', 'bias')
    )
    return (x - mean) / np.sqrt(var + 1e-5) * scale + bias


def max_pool(x):
    """Over 3x3 pixels, every second one."""
    return _patches(x, 3, 2, -np.inf).max((-2, -1))


def _block(w, key, x, stride):
    last = 3 if f'{key}.conv3.weight' in w else 2
    halves = {2: 1, 3: 2}[last]  # The first 3x3 convolution.
    y = x
    for n in range(1, last + 1):
        y = conv(y, w[f'{key}.conv{n}.weight'], stride if n == halves else 1)
        y = norm(w, f'{key}.bn{n}', y)
        y = np.maximum(y, 0) if n < last else y
    if f'{key}.downsample.0.weight' in w:
        x = conv(x, w[f'{key}.downsample.0.weight'], stride)
        x = norm(w, f'{key}.downsample.1', x)
    return np.maximum(x + y, 0)


def _patches(x, size, stride, outside):
    """`[B, C, H, W]` -> `[B, C, h, w, size, size]`."""
    pad = size // 2
    around = ((0, 0), (0, 0), (pad, pad), (pad, pad))
    padded = np.pad(x, around, constant_values=outside)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (2, 3))
    return windows[:, :, ::stride, ::stride]
