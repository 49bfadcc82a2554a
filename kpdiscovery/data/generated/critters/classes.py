"""Twenty classes: words over six part attributes, any two different in three of them."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from kpdiscovery.types import Array

ATTRIBUTES = {
    'beak': ('long', 'cone', 'hook'),
    'crest': ('plume', 'comb', 'ball'),
    'wing': ('bars', 'spots', 'tipped'),
    'tail': ('point', 'fork', 'fan'),
    'leg': ('red', 'yellow', 'blue'),
    'throat': ('plain', 'bib', 'collar'),
}
# 20 of the 27 words of the ternary linear code with generator rows 100011, 010012 and
# 001101, whose distance is 3; the 7 left out keep each value in 6 or 7 of the classes.
_WORDS = """
    002202 011110 012211 020021 021122 022220 100011 101112 102210 111121
    112222 120002 122201 200022 201120 210001 211102 212200 220010 221111
"""
CODES = np.array([[int(digit) for digit in word] for word in _WORDS.split()], np.int32)
NUM_CLASSES = len(CODES)


def attributes_of(label: Array) -> dict[str, Array]:
    """Values 0..2 of the six attributes, each int32 of the shape of `label`."""
    codes = jnp.asarray(CODES)[label]
    return {name: codes[..., i] for i, name in enumerate(ATTRIBUTES)}
