import dataclasses

import pytest

from kpdiscovery import methods
from kpdiscovery.methods.tusk import Tusk
from kpdiscovery.methods.views import Views
from kpdiscovery.types import Method, UserError

SECTION = {'name': 'tusk', 'num_keypoints': 3, 'num_prototypes': 6, 'window': 5}


def test_a_section_becomes_a_method():
    got = methods.build({**SECTION, 'alpha': True, 'views': {'pad': 'reflect'}})
    assert got == Tusk(3, 6, 5, alpha=True, views=Views(pad='reflect'))
    assert isinstance(got, Method)
    assert got.num_labels == 6
    assert methods.build({**SECTION, 'views': None}).views is None


@pytest.mark.parametrize(
    'change, message',
    [
        (
            {'name': 'musk'},
            r"one of .*'lmpnet', .*'tusk', 'weight_map'\], got 'musk'",
        ),
        ({'name': None}, 'got None'),
        ({'windows': 3}, "no field 'windows'; there are: .*window"),
        ({'views': {'pads': 'x'}}, "views has no field 'pads'"),
        ({'parity': 'both'}, "parity must be one of .* got 'both'"),
        ({'reconstruction': 'l1'}, r"one of \('mse', 'perceptual'\), got 'l1'"),
        ({'clustering': 'none'}, "clustering must be one of .* got 'none'"),
    ],
)
def test_mistakes_are_named_in_one_line(change, message):
    with pytest.raises(UserError, match=message) as error:
        methods.build({**SECTION, **change})
    assert '\n' not in str(error.value)


def test_missing_fields_are_named():
    with pytest.raises(UserError, match='window'):
        methods.build({'name': 'tusk', 'num_keypoints': 3, 'num_prototypes': 6})


def counts():
    """Every method and section with each of its whole numbers."""
    for name, kind in methods.METHODS.items():
        for section, part in [('', kind), *kind.sections.items()]:
            for field in dataclasses.fields(part):
                if str(field.type).startswith(('int', 'tuple[int')):
                    yield name, section, field


@pytest.mark.parametrize(
    ('name', 'section', 'field'),
    list(counts()),
    ids=lambda part: getattr(part, 'name', part),
)
def test_counts_and_sizes_are_positive(name, section, field):
    given = {**SECTION, 'name': name} if name == 'tusk' else {'name': name}
    wrong = (3, 3, 3, -1) if field.name == 'widths' else -1
    inner = {field.name: wrong}
    with pytest.raises(
        UserError, match=rf'{field.name} must be at least [01], got .*-1'
    ):
        methods.build({**given, **({section: inner} if section else inner)})


@pytest.mark.parametrize(
    'name', [n for n, k in methods.METHODS.items() if n != 'weight_map']
)
def test_no_keypoints_are_refused(name):
    with pytest.raises(UserError, match='num_keypoints must be at least 1, got 0'):
        methods.build(
            {**(SECTION if name == 'tusk' else {}), 'name': name, 'num_keypoints': 0}
        )


def test_lengths_and_weights_are_not_negative():
    with pytest.raises(UserError, match=r'temperature must be at least 0, got -1\.0'):
        methods.build({**SECTION, 'temperature': -1.0})
    with pytest.raises(UserError, match='rotation must be at least 0, got nan'):
        methods.build({**SECTION, 'views': {'rotation': float('nan')}})


def test_a_section_is_none_only_where_that_has_a_meaning():
    assert methods.build({**SECTION, 'views': None}).views is None
    with pytest.raises(UserError, match='method: views cannot be None'):
        methods.build({'name': 'imm', 'views': None})
