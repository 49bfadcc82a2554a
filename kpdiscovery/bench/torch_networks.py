"""PyTorch forms of the networks of `kpdiscovery.models`, for timing beside them.

Same layers, sizes and numbers of parameters; NCHW shapes, to be held channels-last. To be
imported where PyTorch is installed.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class DoubleConv(nn.Sequential):
    """(3x3 convolution, group norm, ReLU) twice."""

    def __init__(self, inside, features, groups):
        layers = []
        for width in (inside, features):
            layers += [nn.Conv2d(width, features, 3, padding=1),
                       nn.GroupNorm(groups, features), nn.ReLU(inplace=True)]  # fmt: skip
        super().__init__(*layers)


class UNet(nn.Module):
    """As `models.unet.UNet`."""

    def __init__(self, inside, out, width, levels, groups):
        super().__init__()
        widths = [width * 2**level for level in range(levels)]
        self.down = nn.ModuleList(
            DoubleConv(a, b, groups)
            for a, b in zip([inside, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(
            DoubleConv(3 * width, width, groups) for width in widths[:-1]
        )
        self.last = nn.Conv2d(width, out, 1)

    def forward(self, x):
        skips = []
        for level, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        for block, skip in zip(reversed(self.up), skips[-2::-1], strict=True):
            x = functional.interpolate(
                x, scale_factor=2, mode='bilinear', align_corners=True
            )
            x = block(torch.cat([x, skip], dim=1))
        return self.last(x)


class Tusk(nn.Module):
    """As `methods.tusk.network.Encoder`, and the decoder."""

    def __init__(self, channels, out, width, levels, groups):
        super().__init__()
        self.unet = UNet(3, channels, width, levels, groups)
        self.score = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(groups, channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, 1, 3, padding=1),
            nn.GroupNorm(1, 1),
        )
        self.decoder = UNet(channels, out, width, levels, groups)

    def forward(self, images):
        """Features `[B, D, H, W]` and scores `[B, H, W]` in (0, 1)."""
        features = self.unet(images)
        return features, torch.sigmoid(self.score(features)[:, 0])


def pre(inside, features, size, groups):
    """Group norm, ReLU, convolution."""
    return nn.Sequential(
        nn.GroupNorm(groups, inside),
        nn.ReLU(),
        nn.Conv2d(inside, features, size, padding=size // 2, bias=False),
    )


class ConvBlock(nn.Module):
    """As `models.hourglass.ConvBlock`."""

    def __init__(self, inside, features, groups):
        super().__init__()
        half, quarter = features // 2, features // 4
        widths = [(inside, half), (half, quarter), (quarter, quarter)]
        self.parts = nn.ModuleList(pre(a, b, 3, groups) for a, b in widths)
        self.skip = (
            nn.Identity() if inside == features else pre(inside, features, 1, groups)
        )

    def forward(self, x):
        parts, out = [], x
        for part in self.parts:
            out = part(out)
            parts.append(out)
        return torch.cat(parts, dim=1) + self.skip(x)


class Hourglass(nn.Module):
    """As `models.hourglass.Hourglass`."""

    def __init__(self, depth, features, groups):
        super().__init__()
        block = lambda: ConvBlock(features, features, groups)
        self.across, self.down, self.up = block(), block(), block()
        self.inner = Hourglass(depth - 1, features, groups) if depth > 1 else block()

    def forward(self, x):
        lower = self.inner(self.down(functional.avg_pool2d(x, 2)))
        return self.across(x) + functional.interpolate(self.up(lower), scale_factor=2)


class Landmarks(nn.Module):
    """As `models.hourglass.Trunk` with a `Head` of each name."""

    def __init__(self, heads, features, depth, groups):
        super().__init__()
        narrow, middle = features // 4, features // 2
        self.trunk = nn.Sequential(
            nn.Conv2d(3, narrow, 7, stride=2, padding=3),
            nn.GroupNorm(groups, narrow),
            nn.ReLU(inplace=True),
            ConvBlock(narrow, middle, groups),
            nn.AvgPool2d(2),
            ConvBlock(middle, middle, groups),
            ConvBlock(middle, features, groups),
            Hourglass(depth, features, groups),
        )
        self.heads = nn.ModuleDict(
            {name: self._head(features, out, groups) for name, out in heads.items()}
        )

    def _head(self, features, out, groups):
        return nn.Sequential(
            ConvBlock(features, features, groups),
            nn.Conv2d(features, features, 1),
            nn.GroupNorm(groups, features),
            nn.ReLU(inplace=True),
            nn.Conv2d(features, out, 1),
        )

    def forward(self, images):
        x = self.trunk(images)
        return {name: head(x) for name, head in self.heads.items()}
