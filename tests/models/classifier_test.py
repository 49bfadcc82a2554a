"""Class activation maps, by hand."""

import numpy as np

from kpdiscovery.models.classifier import class_activation_maps


def maps(kernel, features):
    return class_activation_maps(
        {'params': {'classifier': {'kernel': kernel}}}, features
    )


def test_maps_are_features_by_what_a_class_weighs_more_than_others():
    features = np.array([[[[1.0, 0.0], [2.0, 3.0]]]], np.float32)
    kernel = np.array([[1.0, 3.0], [0.0, -2.0]], np.float32)  # Of two channels.
    wanted = [[[[-1, 1], [-2 + 3, 2 - 3]]]]
    np.testing.assert_allclose(maps(kernel, features), wanted)


def test_what_all_classes_weigh_is_nothing():
    rng = np.random.default_rng(0)
    features = rng.uniform(size=(2, 3, 3, 5)).astype(np.float32)
    kernel = rng.normal(size=(5, 4)).astype(np.float32)
    drifted = kernel - 10
    np.testing.assert_allclose(
        maps(drifted, features), maps(kernel, features), rtol=1e-4, atol=1e-4
    )
