import base64

import numpy as np
import pytest

pytest.importorskip('matplotlib')

from kpdiscovery.reporting import figures


@pytest.mark.parametrize(
    ('count', 'how'), [(1, 'PCA'), (2, 'PCA'), (49, 'PCA'), (50, 't-SNE')]
)
def test_few_points_are_projected_and_many_embedded(rng, count, how):
    flat, name = figures.embed(rng.normal(size=(count, 8)).astype(np.float32))
    assert flat.shape == (count, 2) and np.isfinite(flat).all()
    assert name == how


def test_clusters_stay_apart(rng):
    centres = np.repeat(10 * np.eye(3, 16), 20, axis=0)
    flat, _ = figures.embed(centres + rng.normal(size=(60, 16)))
    groups = flat.reshape(3, 20, 2)
    within = groups.std(axis=1).max()
    means = groups.mean(axis=1)
    apart = np.linalg.norm(means[:, None] - means[None], axis=-1) + 1e9 * np.eye(3)
    assert apart.min() > 2 * within


@pytest.mark.parametrize('values', [[1.0, 0.1, 1e-4], [0.0, -1.0, 2.0], [np.nan] * 3])
def test_a_curve_is_a_self_contained_svg(values):
    uri = figures.curve(np.arange(3), np.array(values))
    kind, content = uri.split(',')
    assert kind == 'data:image/svg+xml;base64'
    assert b'</svg>' in base64.b64decode(content)


def test_a_scatter_plot_without_points_shows_the_prototypes(rng):
    nothing = np.zeros((0, 2)), np.zeros(0, np.int32)
    assert figures.scatter(*nothing, rng.normal(size=(3, 2)))


def test_the_same_figure_has_the_same_bytes(rng):
    points, anchors = rng.normal(size=(5, 2)), rng.normal(size=(3, 2))
    labels = np.array([0, 0, 1, 1, -1])
    first = figures.scatter(points, labels, anchors)
    assert figures.scatter(points, labels, anchors) == first


def test_lines_of_different_lengths_and_of_one_point():
    curves = {'one': np.array([2.0]), 'many': np.arange(1.0, 5)}
    assert figures.lines(curves, x='best points', y='mean error')
