"""TFDS sets whose files were damaged after they were prepared."""

import io
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kpdiscovery.data.files.tfds_source import TfdsSource
from tests.fuzz import mutations
from tests.fuzz.checks import cases, survives

tfds = pytest.importorskip('tensorflow_datasets')


class TinyFish(tfds.core.GeneratorBasedBuilder):
    """Three pictures with a label; registered by being defined."""

    VERSION = tfds.core.Version('1.0.0')
    pkg_dir_path = None

    def _info(self):
        features = {
            'image': tfds.features.Image(shape=(None, None, 3), encoding_format='png'),
            'label': tfds.features.ClassLabel(names=['eel', 'cod']),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager):
        return {'train': self._generate_examples()}

    def _generate_examples(self):
        for i in range(3):
            file = io.BytesIO()
            Image.new('RGB', (6, 5), (60 * i, 0, 0)).save(file, 'PNG')
            file.seek(0)
            yield i, {'image': file, 'label': i % 2}


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp('whole') / 'tfds'
    TinyFish(data_dir=str(root), file_format='array_record').download_and_prepare()
    return root


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    return tmp_path_factory.mktemp('prepared')


@given(number=st.integers(0, 20), edits=mutations.EDITS)
@cases(0.03)
def test_a_prepared_set(whole, place, number, edits):
    root = place / 'tfds'
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(whole, root)
    files = sorted(path for path in root.rglob('*') if path.is_file())
    path = files[number % len(files)]
    path.write_bytes(mutations.edited(path.read_bytes(), edits))
    survives(lambda: _read(root), place)


def _read(root):
    source = TfdsSource('tiny_fish', split='train', size=8, data_dir=str(root))
    return source.labels, [source[i] for i in range(len(source))]
