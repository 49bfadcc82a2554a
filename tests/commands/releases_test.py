"""Official files of data sets: `kpd doctor --data=NAME --root=DIR`, `kpd convert`."""

import numpy as np
import pytest
from PIL import Image

from kpdiscovery import cli, config, data, methods, metrics
from kpdiscovery.data import official
from kpdiscovery.data.files.folder import Folder
from kpdiscovery.types import UserError
from tests.commands.doctor_test import ask
from tests.data.official import bodies
from tests.data.official.releases import MAKE


def test_doctor_says_ready(capsys, tmp_path):
    MAKE['flowers'](tmp_path)
    code, found = ask(capsys, '--data=flowers', f'--root={tmp_path}')
    assert code == 0
    assert 'Visual Geometry Group' in found['origin'][0][1]
    assert [state for state, _ in found['part']] == ['ok'] * 4
    assert found['counts'][0][0] == 'absent'  # The fixture is small.
    assert 'the papers have train 1,020' in found['counts'][0][1]
    assert found['pictures'] == [('ok', 'all 6 are there; a few were opened')]
    cli.main(['doctor', '--data=flowers', f'--root={tmp_path}'])
    assert 'ready: --data=' in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(('harm', 'finding', 'text'), [
    (lambda r: (r / 'setid.mat').unlink(), 'part', 'setid.mat: split'),
    (lambda r: (r / 'jpg/image_00004.jpg').unlink(), 'pictures', '1 of 6 are not there'),
    (lambda r: (r / 'jpg/image_00001.jpg').write_bytes(b'x'), 'pictures', 'be read'),
    (lambda r: (r / 'setid.mat').write_bytes(b'x'), 'table', 'not a MATLAB file'),
])  # fmt: skip
def test_doctor_says_what_is_missing_or_wrong(harm, finding, text, capsys, tmp_path):
    MAKE['flowers'](tmp_path)
    harm(tmp_path)
    code, found = ask(capsys, '--data=flowers', f'--root={tmp_path}')
    assert code == 2
    told = [line for state, line in found[finding] if state == 'missing']
    assert len(told) == 1 and text in told[0]
    cli.main(['doctor', '--data=flowers', f'--root={tmp_path}'])
    assert capsys.readouterr().out.splitlines()[-1].startswith('not ready')


def test_root_goes_with_a_name(capsys, tmp_path):
    assert cli.main(['doctor', f'--root={tmp_path}']) == 2
    assert '--root=DIR goes with --data=NAME' in capsys.readouterr().err
    assert cli.main(['doctor', '--data=cubs', f'--root={tmp_path}']) == 2
    assert 'did you mean cub?' in capsys.readouterr().err
    assert cli.main(['doctor', '--data=cub', f'--root={tmp_path / "none"}']) == 2


def test_convert_writes_the_annotations_of_pictures(capsys, tmp_path):
    root, out = tmp_path / 'root', tmp_path / 'cars.npz'
    MAKE['cars'](root)
    assert cli.main(['convert', 'cars', f'--root={root}', f'--out={out}']) == 0
    assert '6 rows' in capsys.readouterr().out
    train = Folder(root, size=8, split='train', annotations=out)
    assert len(train) == 3 and train.class_names == ('AM General Hummer', 'Audi TT')
    assert cli.main(['convert', 'cars', f'--root={root}', '--out=folder']) == 2
    assert 'one file, FILE.npz' in capsys.readouterr().err


@pytest.fixture
def walking(tmp_path, monkeypatch):
    """Human3.6M of one subject."""
    for module in ('cdflib', 'h5py'):
        pytest.importorskip(module, reason="pip install 'kpdiscovery[formats]'")
    pytest.importorskip('cv2', reason="pip install 'kpdiscovery[vision]'")
    monkeypatch.setattr('kpdiscovery.data.official.h36m._TRAINED', ('S1',))
    monkeypatch.setattr('kpdiscovery.data.official.h36m._TESTED', ())
    bodies.h36m(tmp_path / 'root', videos=True)
    return tmp_path / 'root'


def test_convert_cuts_videos_into_pictures(walking, tmp_path, capsys):
    out = tmp_path / 'out'
    argv = ['convert', 'h36m_white', f'--root={walking}', f'--out={out}']
    assert cli.main(argv) == 0
    names = [f'S1/Walking 1.54138969/{frame:06}.jpg' for frame in (0, 50, 100)]
    source = Folder(out, size=(32, 48), split='train', resize='stretch')
    assert source.files == tuple(names)
    picture = np.asarray(Image.open(out / names[1]))
    assert abs(int(picture[16, 5, 0]) - 100) < 9  # Frame 50 is of the grey 100 ...
    assert picture[16, 40].min() > 250  # ... and its right half ground.
    assert source[1]['keypoints'][3].tolist() == [13.5, 9]
    written = (out / names[0]).stat().st_mtime_ns
    assert cli.main(argv) == 0  # What is there is kept.
    assert (out / names[0]).stat().st_mtime_ns == written
    assert cli.main([*argv[:3], '--out=a.npz']) == 2
    assert 'a folder of pictures' in capsys.readouterr().err


RELEASED = [name for name in config.names() if config.load(name).data.get('release')]


@pytest.mark.parametrize('name', RELEASED)
def test_a_config_takes_the_official_files(name, tmp_path):
    settings = config.load(name, ['data.size=16', 'data.resize=pad'])
    release = settings.data.release
    if official.named(release).clips:
        pytest.skip('videos are converted first')
    MAKE[release](tmp_path)
    data.point_to(settings.data, str(tmp_path))
    with settings.unlocked():
        settings.data.features = ''
    for split in ('train', 'test'):
        source = data.build(settings.data, split=split)
        metrics.check_landmarks(settings.data.landmarks, source)
        if methods.named(settings.method.name).class_count:
            assert source.labels.min() >= 0


def test_videos_are_told_to_be_converted(tmp_path):
    for subject in bodies.SUBJECTS:
        (tmp_path / subject / 'Videos').mkdir(parents=True)
    settings = config.load('self_training/h36m')
    data.point_to(settings.data, str(tmp_path))
    with pytest.raises(UserError, match='kpd convert h36m --root='):
        data.build(settings.data, split='train')
