"""What configs of self-training must keep to, whatever their size."""

import jax.numpy as jnp
import pytest

from kpdiscovery import config, methods
from kpdiscovery.methods.self_training import correspond, network


@pytest.mark.parametrize('size', ['', ',cpu', ',cpu128', ',gpu10'])
def test_a_fresh_trunk_learns_as_fast_as_its_head(size):
    """Only one that stage 1 has taught is slower, in the published settings."""
    rates = config.load(f'self_training/folder:distilled{size}').phases.landmarks
    assert rates.optimizer.trunk == rates.optimizer.head
    taught = config.load('self_training/folder').phases.landmarks.optimizer
    assert taught.trunk.lr == pytest.approx(taught.head.lr / 10)


@pytest.mark.parametrize('chapter', ['ch4', 'ch5', 'ch6'])
@pytest.mark.parametrize('size', ['cpu', 'cpu128', 'gpu10'])
def test_a_threshold_is_above_what_a_detector_without_knowledge_says(
    chapter, size, rng
):
    """The mean of its targets, as many random places a picture as it has for points; of
    chapter 4, which says that its points are few, half as many."""
    chosen = config.load(f'self_training/faces:{chapter},{size}')
    method = methods.build(chosen.method)
    cells = chosen.data.size // network.STRIDE
    many = method.num_points // (2 if method.chapter == 4 else 1)
    xy = rng.uniform(-0.5, cells - 0.5, (20, many, 2))
    target = correspond.targets(
        jnp.asarray(xy, jnp.float32), jnp.zeros(xy.shape[:2], jnp.int32),
        (cells, cells), sigma=method.target_sigma,
    )  # fmt: skip
    assert method.threshold > float(target.mean())
