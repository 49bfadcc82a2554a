import numpy as np
import pytest
from PIL import Image

from kpdiscovery.data.files import outputs, pictures, reading
from kpdiscovery.data.files.folder import Folder
from kpdiscovery.types import UserError


def save(root, name, size=(5, 4)):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', size).save(path)
    return path


def test_masks_are_no_pictures(tmp_path):
    for name in ('1.jpg', 'bird/2.png', 'masks/1.png', 'masks/bird/2.png'):
        save(tmp_path, name)
    save(tmp_path, 'masks/lost.png')
    assert pictures.list_images(tmp_path)[1] == ['1.jpg', 'bird/2.png']
    assert pictures.list_images(tmp_path / 'masks')[1] == [
        '1.png', 'bird/2.png', 'lost.png',
    ]  # fmt: skip


def test_a_class_may_be_called_masks(tmp_path):
    for name in ('faces/1.png', 'masks/1.png', 'masks/2.png'):
        save(tmp_path, name)
    assert len(pictures.list_images(tmp_path)[1]) == 3


# What is a picture.


@pytest.mark.parametrize(
    'end', ['bmp', 'gif', 'jfif', 'tif', 'TIFF', 'avif', 'jp2', 'ppm']
)
def test_all_that_pillow_reads_is_found_and_read(tmp_path, end):
    if f'.{end}'.lower() not in reading.suffixes():
        pytest.skip(f'this Pillow reads no .{end}')
    kind = {'jfif': 'jpeg', 'tif': 'tiff', 'jp2': 'jpeg2000'}.get(end, end)
    (tmp_path / 'in').mkdir()
    Image.new('RGB', (32, 24), 'red').save(tmp_path / f'in/a.{end}', kind)
    row = Folder(tmp_path / 'in', size=8)[0]
    assert np.abs(row['image'][4, 4].astype(int) - [255, 0, 0]).max() < 9


def test_what_is_left_out_is_counted_by_suffix(tmp_path, caplog):
    for name in ('1.jpg', 'a/2.heic', '3.HEIC', '4.mp4', 'notes.txt', 'a/.hidden.mov'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert pictures.list_images(tmp_path)[1] == ['1.jpg']
    (line,) = caplog.messages
    assert line.endswith('left out, since not read here: 2 .heic, 1 .mp4')
    (tmp_path / '1.jpg').unlink()
    with pytest.raises(UserError, match=r'no pictures in it .*; 2 .heic, 1 .mp4'):
        pictures.list_images(tmp_path)


# What our own commands wrote.


def test_our_own_outputs_are_no_pictures(tmp_path):
    for name in ('1.png', 'runs/mine/x.png', 'out/overlays/1.png.jpg', 'out/masks/1.png.png',
                 'overlays/2.png', 'checkpoints/3.png'):  # fmt: skip
        save(tmp_path, name)
    (tmp_path / 'runs/mine/checkpoints').mkdir()
    (tmp_path / 'runs/mine/config.json').write_text('{"data": {}}')
    (tmp_path / 'out/keypoints.csv').write_text(','.join(outputs.HEAD) + '\n')
    mine = ['1.png', 'checkpoints/3.png', 'overlays/2.png']
    assert pictures.list_images(tmp_path)[1] == mine
    # Predictions into the folder of the pictures, and a run in it.
    (tmp_path / 'out/keypoints.csv').rename(tmp_path / 'keypoints.csv')
    (tmp_path / 'config.json').write_text('{}')
    assert 'overlays/2.png' not in pictures.list_images(tmp_path)[1]
    assert '1.png' in pictures.list_images(tmp_path)[1]


def test_files_of_other_programs_are_not_ours(tmp_path):
    save(tmp_path, 'overlays/1.png')
    (tmp_path / 'keypoints.csv').write_text('x,y\n')
    assert pictures.list_images(tmp_path)[1] == ['overlays/1.png']


# Paths.


def test_a_picture_has_one_name_however_it_is_spelled(tmp_path, monkeypatch):
    for name in ('pics/a.jpg', 'deep/er/b.jpg'):
        save(tmp_path, name)
    monkeypatch.chdir(tmp_path / 'deep/er')
    root, names = pictures.list_images(['../../pics/a.jpg', 'b.jpg'])
    assert names == ['pics/a.jpg', 'deep/er/b.jpg'] and root == tmp_path.resolve()
