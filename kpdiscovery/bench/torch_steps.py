"""PyTorch forms of training steps, for timing beside ours: function of a config and a batch.

Each gives a thunk: forward, loss, backward and the optimiser's step, of networks as large as
ours, channels-last, in float32. What it leaves out stands beside it in `bench.steps`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from kpdiscovery.bench import torch_networks, torch_resnets
from kpdiscovery.methods.classification import Network
from kpdiscovery.methods.self_training.network import STRIDE

_OPTIMIZERS = {
    'adagrad': torch.optim.Adagrad, 'adam': torch.optim.Adam, 'adamw': torch.optim.AdamW,
    'rmsprop': torch.optim.RMSprop, 'sgd': torch.optim.SGD,
}  # fmt: skip


def tusk(settings, batch):
    """Encoder, K points read where scores are highest, splats, decoder, blended picture."""
    m = settings.method
    net = tusk_network(settings)
    images = _images(batch, m.resolution).repeat(1 if m.views is None else 2, 1, 1, 1)
    h, w = images.shape[2:]
    rows, columns = torch.arange(h), torch.arange(w)
    gaussian = lambda at, grid: torch.exp(
        -((grid - at[..., None]) ** 2) / (2 * m.splat_variance)
    )

    def loss():
        features, scores = net(images)
        near = functional.max_pool2d(scores[:, None], m.window, 1, m.window // 2)[:, 0]
        flat = torch.where(near == scores, scores, 0).flatten(1)
        at = flat.topk(m.num_keypoints).indices
        read = lambda maps: maps.flatten(2).gather(
            2, at[:, None].expand(-1, maps.shape[1], -1)
        )
        values = functional.normalize(read(features), dim=1) * read(scores[:, None])
        splats = torch.einsum(
            'bdk,bky,bkx->bkdyx', m.splat_gain * values,
            gaussian(at // w, rows), gaussian(at % w, columns),
        )  # fmt: skip
        if m.alpha:
            layers = net.decoder(_last(splats.flatten(0, 1))).unflatten(0, at.shape)
            shares = layers[:, :, 3:].softmax(dim=1)
            picture = (shares * torch.sigmoid(layers[:, :, :3])).sum(1)
        else:
            picture = torch.sigmoid(net.decoder(_last(splats.sum(1))))
        total = functional.mse_loss(picture, images)
        if m.views is not None:
            first, second = features.unflatten(0, (2, -1))
            total = total + m.feature_weight * functional.mse_loss(first, second)
        return total

    return _step(net, settings.phases.train.optimizer.network, loss)


def tusk_network(settings):
    m = settings.method
    sizes = m.get('width', 32), m.get('levels', 4), m.get('groups', 32)
    return torch_networks.Tusk(m.get('channels', 32), 4 if m.alpha else 3, *sizes)


def correspond(settings, batch):
    """Trunk, detector and descriptor of two views; pairs of descriptors."""
    m = settings.method
    net = landmark_network(settings, {'detector': 1, 'descriptor': None})
    images = _images(batch).repeat(2, 1, 1, 1)
    n, _, h, w = images.shape
    cells = (h // STRIDE) * (w // STRIDE)
    points = torch.randint(cells, (n // 2, 1, m.num_points))
    label = torch.arange(m.num_points)
    same = label[:, None] == label[None]
    target = torch.rand(n, h // STRIDE, w // STRIDE)

    def loss():
        maps = net(images)
        detector = functional.mse_loss(torch.sigmoid(maps['detector'][:, 0]), target)
        first, second = (
            dense.flatten(2).gather(2, points.expand(-1, dense.shape[1], -1)).mT
            for dense in maps['descriptor'].chunk(2)
        )
        between, inside = torch.cdist(first, second), torch.cdist(first, first)
        apart = torch.relu(1 - inside) ** 2
        return detector + torch.where(same, between**2, apart).mean()

    return _step(net, settings.phases.correspond.optimizer, loss)


def landmarks(settings, batch):
    """Trunk and head of one view a picture, against maps."""
    net = landmark_network(settings, {'landmarks': settings.method.num_keypoints})
    images = _images(batch)
    with torch.no_grad():
        target = torch.rand_like(net(images)['landmarks'])
    loss = lambda: functional.mse_loss(net(images)['landmarks'], target)
    return _step(net, settings.phases.landmarks.optimizer.head, loss)


def landmark_network(settings, heads):
    """Heads of None outputs are as wide as the maps."""
    size = settings.method.get('network', {})
    features = size.get('features', 256)
    wide = {name: out or features for name, out in heads.items()}
    sizes = features, size.get('depth', 4), size.get('groups', 32)
    return torch_networks.Landmarks(wide, *sizes)


def classify(settings, batch):
    """LMPNet's first net, cross-entropy of leaky maxima."""
    m = settings.method
    net = classifier(settings, m.get('epsilon', 0.1))
    images, label = _crops(settings, batch), torch.tensor(np.asarray(batch['label']))
    loss = lambda: functional.cross_entropy(net(images), label.long())
    return _step(net, settings.phases.classify.optimizer, loss)


def classifier(settings, epsilon=None):
    channels = Network(**settings.method.network).build().channels['stage4']
    backbone = _backbone(settings.method.network)
    classes = settings.method.num_classes
    return torch_resnets.Classifier(backbone, channels, classes, epsilon)


def localize(settings, batch):
    """The map's net; the frozen classifier on whole pictures and, with gradient, covered."""
    judge, net = classifier(settings), map_network(settings)
    judge.eval().requires_grad_(False)
    judge.to(memory_format=torch.channels_last)
    images = _crops(settings, batch)

    def loss():
        maps = net(images)
        with torch.no_grad():
            target = judge(images).softmax(dim=1)
        seen = judge(_last(images * maps[:, None]))
        return functional.cross_entropy(seen, target) + maps.abs().mean()

    return _step(net, settings.phases.localize.optimizer, loss)


def map_network(settings):
    encoder = settings.method.encoder
    channels = list(Network(**encoder).build().channels.values())
    return torch_resnets.WeightMap(_backbone(encoder), channels)


def align(settings, features):
    """Part maps of features `[B, 1 + k, h, w, D]`, and what they agree on as the truth."""
    m = settings.method
    features = torch.tensor(np.asarray(features, np.float32))
    parts = torch.nn.Linear(features.shape[-1], m.num_keypoints + 1, bias=False)

    def loss():
        directions = functional.normalize(parts.weight, dim=1)
        cosines = functional.linear(features, directions)
        maps = (m.get('kappa', 30.0) * cosines).softmax(dim=-1).mean(dim=1)
        truth = maps.detach().argmax(dim=-1, keepdim=True)
        return -maps.gather(-1, truth).log().mean()

    return _step(parts, settings.phases.align.optimizer, loss)


def _backbone(section):
    own = Network(**section)
    return torch_resnets.ResNet(
        own.backbone, own.width, own.last_stride, own.small_stem
    )


def _images(batch, size=0):
    """`[B, 3, H, W]` in [0, 1], channels-last, shrunk to a square of `size` if it is set."""
    images = torch.tensor(np.asarray(batch['image'])).permute(0, 3, 1, 2) / 255
    if size:
        images = functional.interpolate(images, size=(size, size), mode='bilinear')
    return _last(images)


def _crops(settings, batch):
    """Of the size that the method draws, from the middle."""
    images = _images(batch)
    side = round(images.shape[-1] * settings.method.crops.share)
    first = (images.shape[-1] - side) // 2
    return _last(images[:, :, first:, first:][:, :, :side, :side])


def _last(x):
    return x.contiguous(memory_format=torch.channels_last)


def _step(net, optimizer, loss):
    net.train().to(memory_format=torch.channels_last)
    kind = _OPTIMIZERS[optimizer['name']]
    fused = {} if optimizer['name'] == 'rmsprop' else {'fused': True}
    update = kind(net.parameters(), lr=optimizer['lr'], **fused)

    def step():
        update.zero_grad()
        value = loss()
        value.backward()
        update.step()
        return value.item()

    return step
