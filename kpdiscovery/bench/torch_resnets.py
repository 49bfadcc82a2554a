"""PyTorch forms of ResNets and what stands on them, as `torch_networks`."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from kpdiscovery.models import resnet


def normed(inside, features, size, stride=1, bias=False):
    """A convolution and its batch norm."""
    conv = nn.Conv2d(inside, features, size, stride, size // 2, bias=bias)
    return nn.Sequential(conv, nn.BatchNorm2d(features))


class Block(nn.Module):
    """As `models.resnet.Block`."""

    def __init__(self, inside, features, stride, bottleneck):
        super().__init__()
        out = features * (resnet.EXPANSION if bottleneck else 1)
        layers = [(3, stride, features), (3, 1, features)]
        if bottleneck:
            layers = [(1, 1, features), (3, stride, features), (1, 1, out)]
        widths = [inside, *(width for *_, width in layers)]
        self.convs = nn.ModuleList(
            normed(before, width, size, step)
            for before, (size, step, width) in zip(widths, layers, strict=False)
        )
        same = stride == 1 and inside == out
        self.skip = nn.Identity() if same else normed(inside, out, 1, stride)

    def forward(self, x):
        y = x
        for i, conv in enumerate(self.convs):
            y = conv(torch.relu(y) if i else y)
        return torch.relu(self.skip(x) + y)


class ResNet(nn.Module):
    """As `models.resnet.ResNet`: maps of the stem and of every stage."""

    def __init__(self, name, width, last_stride, small_stem):
        super().__init__()
        depths, bottleneck = resnet.SHAPES[name]
        self.stem = normed(3, width, 3 if small_stem else 7, 2)
        self.small_stem = small_stem
        self.stages, inside = nn.ModuleList(), width
        for stage, depth in enumerate(depths):
            stride, features = (1, 2, 2, last_stride)[stage], width * 2**stage
            blocks = []
            for i in range(depth):
                blocks.append(Block(inside, features, 1 if i else stride, bottleneck))
                inside = features * (resnet.EXPANSION if bottleneck else 1)
            self.stages.append(nn.Sequential(*blocks))

    def forward(self, x):
        maps = [torch.relu(self.stem(x))]
        x = maps[0] if self.small_stem else functional.max_pool2d(maps[0], 3, 2, 1)
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class Classifier(nn.Module):
    """As `models.classifier.Classifier`, pooled by mean or leaky maximum."""

    def __init__(self, backbone, channels, classes, epsilon=None):
        super().__init__()
        self.backbone, self.epsilon = backbone, epsilon
        self.linear = nn.Linear(channels, classes)

    def forward(self, images):
        x = self.backbone(images)[-1]
        pooled = x.mean((2, 3))
        if self.epsilon is not None:
            most, all_of_it = x.amax((2, 3)), x.sum((2, 3))
            pooled = (1 + self.epsilon) * most - self.epsilon * all_of_it
        return self.linear(pooled)


class WeightMap(nn.Module):
    """As `models.weight_map.WeightMap`; `channels` of the backbone's maps."""

    def __init__(self, backbone, channels):
        super().__init__()
        self.backbone = backbone
        inside, self.ups = channels[-1], nn.ModuleList()
        for width in reversed(channels[:-1]):
            self.ups.append(self._block(inside + width, width, width, nn.ReLU()))
            inside = width
        self.top = self._block(inside, inside // 2, 1, nn.Identity())

    def _block(self, inside, hidden, out, last):
        one = normed(inside, hidden, 3, bias=True)
        return nn.Sequential(
            *one, nn.ReLU(inplace=True), *normed(hidden, out, 3, bias=True), last
        )

    def forward(self, images):
        *skips, x = self.backbone(images)
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            x = up(torch.cat([enlarge(x, skip.shape[2:]), skip], dim=1))
        return torch.sigmoid(self.top(enlarge(x, images.shape[2:]))[:, 0])


def enlarge(x, size):
    return functional.interpolate(x, size=size, mode='bilinear', align_corners=False)
