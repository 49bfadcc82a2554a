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
