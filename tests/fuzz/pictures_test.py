"""Pictures and masks of all formats, damaged."""

import functools
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kpdiscovery.data.files import folder, masks, reading
from tests.fuzz import mutations
from tests.fuzz.checks import cases, survives


def _saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@functools.cache
def samples():
    """Small files of every format that is read here, in its variants."""
    values = np.random.default_rng(0).integers(0, 256, (12, 9, 3), np.uint8)
    rgb = Image.fromarray(values)
    grey, palette, clear = rgb.convert('L'), rgb.convert('P'), rgb.convert('RGBA')
    deep = Image.fromarray(values[..., 0].astype(np.uint16) * 255)
    exif = Image.Exif()
    exif[0x0112] = 6
    more = {'save_all': True, 'append_images': [rgb.rotate(90), rgb]}
    found = [
        _saved(rgb, 'JPEG', exif=exif), _saved(rgb, 'JPEG', progressive=True),
        _saved(rgb.convert('CMYK'), 'JPEG'), _saved(rgb, 'PNG', exif=exif),
        _saved(palette, 'PNG', transparency=3), _saved(deep, 'PNG'), _saved(clear, 'PNG'),
        _saved(rgb, 'PNG', **more), _saved(rgb.convert('1'), 'PNG'),
        _saved(rgb, 'BMP'), _saved(palette, 'BMP'), _saved(rgb, 'GIF', **more),
        _saved(rgb, 'TIFF'), _saved(deep, 'TIFF', compression='tiff_lzw'),
        _saved(rgb, 'TIFF', compression='jpeg', exif=exif),
        _saved(rgb, 'TIFF', compression='tiff_adobe_deflate'),
        _saved(Image.fromarray(values[..., 0] / np.float32(9)), 'TIFF'),
        _saved(rgb, 'PPM'), _saved(grey, 'PPM'), b'P3 2 2 255 ' + b'1 2 3 ' * 4,
        _saved(rgb, 'TGA', compression='tga_rle'), _saved(palette, 'TGA'),
    ]  # fmt: skip
    end = {'WEBP': '.webp', 'AVIF': '.avif', 'JPEG2000': '.jp2'}
    for kind, suffix in end.items():
        if suffix in reading.suffixes():
            found += [_saved(rgb, kind), _saved(clear, kind)]
    if '.webp' in reading.suffixes():
        found.append(_saved(rgb, 'WEBP', lossless=True, **more))
    return found


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    return tmp_path_factory.mktemp('pictures')


@given(
    data=mutations.damaged(samples()),
    end=st.sampled_from(reading.suffixes()),
    contrast=st.sampled_from(reading.CONTRASTS),
)
@cases(0.16)
def test_a_picture(place, data, end, contrast):
    path = place / f'p{end}'
    path.write_bytes(data)
    found = survives(lambda: reading.read_picture(path, contrast=contrast), place)
    if found is not None:
        assert found.image.mode == 'RGB' and min(found.original) > 0


@given(data=mutations.damaged(samples()))
@cases(0.05)
def test_a_mask(place, data):
    path = place / 'mask'
    path.write_bytes(data)
    found = survives(lambda: masks.read_mask(path), place)
    if found is not None:
        assert found.object.shape == found.ignored.shape and found.object.ndim == 2


@given(data=st.lists(mutations.damaged(samples()), min_size=1, max_size=3))
@cases(0.02)
def test_a_folder(tmp_path_factory, data):
    place = tmp_path_factory.mktemp('folder')
    for number, content in enumerate(data):
        (place / f'{number}.png').write_bytes(content)
    found = survives(lambda: folder.Folder(place, size=8, resize='pad'), place)
    if found is not None:
        assert all(
            row['image'].shape == (8, 8, 3)
            for row in map(found.__getitem__, range(len(found)))
        )
