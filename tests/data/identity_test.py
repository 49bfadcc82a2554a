"""Which pictures a source has: what changes its identity and what does not."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from kpdiscovery import data
from kpdiscovery.data import identity, subset
from kpdiscovery.data.files.folder import Folder
from kpdiscovery.data.generated.tetrominoes import tetrominoes
from kpdiscovery.data.joined import Joined


@pytest.fixture
def pictures(tmp_path, rng):
    folder = tmp_path / 'pictures'
    folder.mkdir()
    for name in 'abcd':
        image = rng.integers(0, 255, (90, 100, 3), np.uint8)
        Image.fromarray(image).save(folder / f'{name}.png', compress_level=0)
    return folder


def of(folder):
    return identity.of(Folder(folder, size=16))


def changed(before, after):
    return identity.difference(before._asdict(), after)


def test_a_copy_elsewhere_is_the_same(pictures, tmp_path):
    shutil.copytree(pictures, tmp_path / 'copy')
    os.utime(tmp_path / 'copy' / 'a.png', (1, 1))
    assert of(pictures) == of(tmp_path / 'copy')


def test_one_pixel_of_one_file_counts(pictures):
    before, path = of(pictures), pictures / 'c.png'
    image = np.array(Image.open(path))
    image[-1, -1] ^= 255  # A file as large as before: it is not compressed.
    Image.fromarray(image).save(path, compress_level=0)
    assert changed(before, of(pictures)) == 'other content under the same names'


def test_names_and_numbers_count(pictures):
    before = of(pictures)
    (pictures / 'a.png').rename(pictures / 'e.png')
    assert changed(before, of(pictures)) == 'as many files of other names'
    (pictures / 'b.png').unlink()
    assert changed(before, of(pictures)) == '3 pictures, were 4'
    assert changed(before, before) == ''


def test_of_a_part_only_its_own_pictures_count(pictures):
    part = lambda: identity.of(subset.thin(Folder(pictures, size=16), 2))
    before = part()  # Rows 0 and 2: a and c.
    shutil.copy(pictures / 'a.png', pictures / 'b.png')
    assert part() == before
    shutil.copy(pictures / 'a.png', pictures / 'c.png')
    assert changed(before, part())


def test_drawn_sources_are_known_by_their_options():
    make = lambda **options: identity.of(
        tetrominoes(**{'split': 'train', 'size': 32, 'length': 9, **options})
    )
    assert make() == make()
    for other in ({'size': 35}, {'split': 'test'}):
        assert changed(make(), make(**other)) == 'other content'
    crops = {'source': 'critters', 'path': '', 'size': 32}
    margins = [
        identity.of(data.build({**crops, 'options': {'crop_margin': m}}, split='test'))
        for m in (0.1, 0.1, 0.2)
    ]
    assert margins[0] == margins[1] != margins[2]


def test_what_was_found_by_others_counts():
    source, points = tetrominoes(split='train', size=32, length=2), np.zeros((2, 1, 2))
    joined = [identity.of(Joined(source, {'detected': points}, stamp=s)) for s in 'xxy']
    assert joined[0] == joined[1]
    assert 'other points or features' in changed(joined[0], joined[2])


def test_arrays_are_known_by_their_pixels_or_by_what_they_say():
    class Arrays(list):
        truth = ()

    make = lambda value: Arrays({'image': np.full((4, 4, 3), value)} for _ in range(40))
    assert identity.of(make(1)) == identity.of(make(1)) != identity.of(make(2))
    one, other = make(1), make(2)
    one.digest = other.digest = 'set 1.0 train'
    assert identity.of(one) == identity.of(other)
