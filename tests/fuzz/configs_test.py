"""Names of configs and settings as anybody may type them."""

import functools

from hypothesis import given
from hypothesis import strategies as st
from kpdiscovery.configs import variants

from kpdiscovery import config
from tests.fuzz import mutations
from tests.fuzz.checks import cases, survives

NAMES = ('tusk/tetrominoes:smoke', 'lmpnet/folder', 'self_training/critters:cpu')


@functools.cache
def whole():
    return config.load(NAMES[0])


def keys():
    paths = variants.leaves(whole())
    return [*map('.'.join, paths), 'data.options.x', 'data', 'method', 'phases']


WORDS = st.one_of(
    st.text(max_size=12),
    st.sampled_from([*mutations.TEXTS, *mutations.NAMES, '9' * 400, '{[]: 1}', '-"a"',
                     '(' * 3000, '-' * 30_000 + '1', '"\\d"', '1 is 1', '0x', '1_0', 'nan',
                     'inf', '-inf', '1e400', '[1, 2]', '{"a": 1}', "b'x'", '1j', '...',
                     'True', 'true', '~', '~nobody/x', '\0']),
    st.integers().map(str),
    st.floats().map(str),
)  # fmt: skip


@given(key=st.sampled_from(keys()), word=WORDS, other=WORDS)
@cases(0.05)
def test_settings(tmp_path_factory, key, word, other):
    settings = [f'{key}={word}', other]
    place = tmp_path_factory.getbasetemp()
    for given_settings in (settings[:1], settings[1:]):
        made = whole().copy_and_resolve_references()
        survives(lambda: config.override(made, given_settings), place)  # noqa: B023


@given(name=st.sampled_from(NAMES), part=WORDS, place=st.integers(0, 30))
@cases(0.02)
def test_names(tmp_path_factory, name, part, place):
    for text in (part, name[:place] + part, name + part):
        survives(lambda: config.load(text), tmp_path_factory.getbasetemp())  # noqa: B023
