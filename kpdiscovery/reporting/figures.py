"""Curves and scatter plots as SVG data URIs, legible on light and on dark ground."""

from __future__ import annotations

import io
from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits  # Comes with scikit-learn.

from kpdiscovery.reporting import drawing

_GREY, _LINE = '#888888', '#3f82e8'
_DASHES = ('-', '--', ':')  # Lines may lie on one another.
_FEW = 50  # Below, t-SNE has nothing to say.


def curve(steps: np.ndarray, values: np.ndarray) -> str:
    """A scalar over the steps; logarithmic where it spans more than 1:50."""
    figure, axes = _axes(3.0, 1.7)
    finite = values[np.isfinite(values)]
    if finite.size and finite.min() > 0 and finite.max() > 50 * finite.min():
        axes.set_yscale('log')
    marker = 'o' if len(steps) == 1 else None
    axes.plot(steps, values, color=_LINE, linewidth=1.3, marker=marker, markersize=4)
    axes.locator_params(axis='x', nbins=4)
    return _svg(figure)


def lines(curves: Mapping[str, np.ndarray], *, x: str, y: str) -> str:
    """Named curves `[n]` over 1..n, and the names of the axes."""
    figure, axes = _axes(4.4, 2.8)
    for number, (name, values) in enumerate(curves.items()):
        marker = 'o' if len(values) == 1 else None
        style = {'color': drawing.css(number), 'linestyle': _DASHES[number % 3]}
        at = np.arange(1, len(values) + 1)
        axes.plot(at, values, label=name, linewidth=1.5, marker=marker, **style)
    axes.set_ylim(bottom=0)
    axes.locator_params(axis='x', integer=True)
    axes.set_xlabel(x, color=_GREY, fontsize=8)
    axes.set_ylabel(y, color=_GREY, fontsize=8)
    axes.legend(frameon=False, fontsize=8, labelcolor=_GREY)
    return _svg(figure)


def scatter(xy: np.ndarray, labels: np.ndarray, anchors: np.ndarray) -> str:
    """Points `[N, 2]` coloured by label, and the place of each label `[M, 2]`.

    Labels that have a point are stars, the others small crosses.
    """
    figure, axes = _axes(8.0, 5.6)
    axes.set_axis_off()
    used = np.isin(np.arange(len(anchors)), labels)
    axes.scatter(*anchors[~used].T, s=14, c=_GREY, marker='x', linewidths=0.7)
    axes.scatter(*xy.T, s=16, c=_tint(labels), linewidths=0, alpha=0.75)
    stars = {'s': 130, 'marker': '*', 'edgecolors': 'black', 'linewidths': 0.7}
    axes.scatter(*anchors[used].T, c=_tint(np.flatnonzero(used)), **stars)
    return _svg(figure)


def embed(points: np.ndarray) -> tuple[np.ndarray, str]:
    """`[N, D]` vectors on the plane, `[N, 2]`: by 't-SNE', or 'PCA' if they are few."""
    n, d = points.shape
    if n < 2:
        return np.zeros((n, 2)), 'PCA'
    if n < _FEW:
        flat = PCA(min(2, n, d)).fit_transform(points)
        return np.pad(flat, [(0, 0), (0, 2 - flat.shape[1])]), 'PCA'
    perplexity = min(30, (n - 1) // 3)
    options = {'init': 'pca', 'random_state': 0, 'perplexity': perplexity}
    with threadpool_limits(1):  # Its threads wait by spinning.
        return TSNE(2, **options).fit_transform(points), 't-SNE'


def _tint(labels):
    return drawing.colors(labels) / 255


def _axes(width, height):
    figure = Figure((width, height), layout='constrained')
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.spines[['top', 'right']].set_visible(False)
    axes.spines[['bottom', 'left']].set_color(_GREY)
    axes.tick_params(colors=_GREY, which='both', labelsize=8)
    return figure, axes


def _svg(figure):
    out = io.BytesIO()
    with mpl.rc_context({'svg.hashsalt': 'kpd'}):  # The same bytes every time.
        figure.savefig(out, format='svg', transparent=True, metadata={'Date': None})
    return drawing.data_uri(out.getvalue(), 'image/svg+xml')
