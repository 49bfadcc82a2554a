"""Sources by name, and what feeds them to the devices."""

from collections.abc import Callable, Mapping
from typing import Any

from kpdiscovery.types import Source, UserError


def _tetrominoes(split, data):
    from kpdiscovery.data.generated.tetrominoes import tetrominoes

    return tetrominoes(split=split, size=data['size'], **data['options'])


def _mnist_hard(split, data):
    from kpdiscovery.data.generated.mnist_hard import mnist_hard

    path = data['path'] or None
    return mnist_hard(split=split, path=path, size=data['size'], **data['options'])


def _scenes(split, data):
    from kpdiscovery.data.generated.scenes import scenes

    return scenes(split=split, size=data['size'], **data['options'])


def _critters(split, data):
    """Whole scenes, or with the option `crop_margin` square crops around the animal."""
    from kpdiscovery.data.generated import crops
    from kpdiscovery.data.generated.critters import critters

    options, size = dict(data['options']), data['size']
    margin = options.pop('crop_margin', None)
    if margin is None:
        return critters(split=split, size=size, **options)
    whole = critters(split=split, size=crops.drawn_size(size), **options)
    return crops.crop_to_object(whole, size=size, margin=margin)


def _shapes(split, data):
    from kpdiscovery.data.generated.shapes import shapes

    return shapes(split=split, size=data['size'], **data['options'])


def _mixed(split, data):
    from kpdiscovery.data.generated.mixed import mixed

    return mixed(split=split, size=data['size'], **data['options'])


def _folder(split, data):
    from kpdiscovery.data.files.folder import Folder

    if not data['path']:
        raise UserError('this config reads a folder of pictures: add --data=FOLDER')
    size = (data['size'], data['size'])
    return Folder(
        data['path'], size=size, resize=data['resize'], split=split, **data['options']
    )


def _tfds(split, data):
    """A set of TFDS. The option `splits` names what stands for a split that it lacks:
    {'test': 'validation'} for imagenette."""
    from kpdiscovery.data.files.tfds_source import TfdsSource

    options, size = dict(data['options']), (data['size'], data['size'])
    split = dict(options.pop('splits', {})).get(split, split)
    return TfdsSource(split=split, size=size, resize=data['resize'], **options)


def _clevr(split, data):
    """TFDS `clevr`: the first 70,000 scenes with few enough objects, the last 10,000 of
    them for testing, as in the paper."""
    from kpdiscovery.data.files.tfds_source import ClevrScenes, TfdsSource

    size = (data['size'], data['size'])
    rows = {
        'train': (0, 60_000),
        'validation': (59_000, 60_000),
        'test': (60_000, 70_000),
    }
    keep = ClevrScenes(data['options']['objects'], *rows[split])
    return TfdsSource(
        'clevr',
        split='train',
        size=size,
        resize=data['resize'],
        keep=keep,
        method='nearest',
    )


SOURCES: dict[str, Callable[[str, Mapping], Source]] = {
    'tetrominoes': _tetrominoes,
    'mnist_hard': _mnist_hard,
    'scenes': _scenes,
    'critters': _critters,
    'shapes': _shapes,
    'mixed': _mixed,
    'folder': _folder,
    'clevr': _clevr,
    'tfds': _tfds,
}
SPLITS = ('train', 'validation', 'test')
READ_FILES = ('mnist_hard', 'folder')  # --data gives these their files.


def build(data: Mapping[str, Any], *, split: str) -> Source:
    """The source named by a config's `data` section.

    With `data.rows` the training split is thinned evenly to so many rows (`subset`),
    with `data.features` rows have the dense features of that folder (`features`).

    Args:
        split: 'train', 'validation' or 'test'.
    """
    if data['source'] not in SOURCES:
        raise UserError(
            f'data.source must be one of {sorted(SOURCES)}, got {data["source"]!r}'
        )
    if split not in SPLITS:
        raise UserError(f'split must be one of {SPLITS}, got {split!r}')
    try:
        source = SOURCES[data['source']](split, data)
    except TypeError as error:  # An option that the source does not have.
        raise UserError(f'data.options of {data["source"]}: {error}') from error
    num = data.get('rows', 0) if split == 'train' else 0
    if data.get('features', ''):
        from kpdiscovery.data.joined import features

        how = data['resize']
        return features.join(source, data['features'], split, resize=how, num=num)
    from kpdiscovery.data.subset import thin

    return thin(source, num)


def point_to(data: Any, path: str) -> None:
    """Apply --data=PATH to a config's `data` section, in place.

    A source that reads files gets them from there; one that is generated or downloaded
    gives way to the user's own folder of pictures.
    """
    if data['source'] not in READ_FILES:
        data['source'], data['options'] = 'folder', {}
    data['path'] = path
