"""The methods, by name: `build(config.method)` is the one registry."""

from __future__ import annotations

import dataclasses
from typing import Any

from kpdiscovery.methods.constellation import Constellations
from kpdiscovery.methods.feature_alignment import FeatureAlignment
from kpdiscovery.methods.imm import ImageGeneration
from kpdiscovery.methods.lmpnet import LmpNet
from kpdiscovery.methods.options import check_numbers, check_sections
from kpdiscovery.methods.self_training import SelfTraining
from kpdiscovery.methods.superpoint import SuperPoint
from kpdiscovery.methods.tusk import Tusk
from kpdiscovery.methods.weight_map import WeightMapping
from kpdiscovery.types import Method, UserError

METHODS: dict[str, type[Method]] = {
    'superpoint': SuperPoint,
    'tusk': Tusk,
    'self_training': SelfTraining,
    'lmpnet': LmpNet,
    'weight_map': WeightMapping,
    'feature_alignment': FeatureAlignment,
    'imm': ImageGeneration,
    'constellation': Constellations,
}


def build(config: Any) -> Method:
    """The method named by a config's `method` section, which holds its fields.

    Raises:
        UserError: no such method, an unknown field, or one that is missing.
    """
    options, kind = dict(config.items()), named(config.get('name'))
    del options['name']
    for field, section in kind.sections.items():
        if (given := options.get(field)) is not None:
            if not hasattr(given, 'items'):
                raise UserError(f'method.{field} must be a section, got {given!r}')
            options[field] = _fill(section, field, dict(given.items()))
    return _fill(kind, 'method', options)


def named(name: Any) -> type[Method]:
    """The class of a method.

    Raises:
        UserError: no such method.
    """
    if name not in METHODS:
        raise UserError(f'method.name must be one of {sorted(METHODS)}, got {name!r}')
    return METHODS[name]


def complete(config: Any) -> dict:
    """A config's `method` section with every field, so that each can be overridden."""
    given = dict(config.items())
    if given.get('name') not in METHODS:
        return given
    kind = METHODS[given['name']]
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    known = {f.name: f.default for f in fields if f.default is not dataclasses.MISSING}
    for name in kind.sections:
        known[name] = dataclasses.asdict(known[name])
        if given.get(name) is not None:
            given[name] = {**known[name], **dict(given[name].items())}
    return {**known, **given}


def _fill(kind, where, options):
    known = [field.name for field in dataclasses.fields(kind)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise UserError(
            f'{where} has no field {unknown[0]!r}; there are: {", ".join(known)}'
        )
    # Configs come back from checkpoints with lists, and methods are hashed.
    options = {name: _hashable(value) for name, value in options.items()}
    try:
        check_sections(kind, options)
        check_numbers(kind, options)
        return kind(**options)
    except (TypeError, ValueError) as error:
        raise UserError(f'{where}: {error}') from None


def _hashable(value):
    return tuple(map(_hashable, value)) if isinstance(value, list) else value
