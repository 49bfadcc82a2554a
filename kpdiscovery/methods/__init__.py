"""The methods, by name: `build(config.method)` is the one registry."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from kpdiscovery.methods.tusk import Tusk
from kpdiscovery.methods.tusk.augmentation import Views

METHODS = {'tusk': Tusk}
_SECTIONS = {'views': Views}


def build(config: Mapping) -> Any:
    """The method named by a config's `method` section, which holds its fields."""
    options = dict(config)
    kind = METHODS[options.pop('name')]
    for name, section in _SECTIONS.items():
        if isinstance(options.get(name), Mapping):
            options[name] = section(**options[name])
    return kind(**options)
