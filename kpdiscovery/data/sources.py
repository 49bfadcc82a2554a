"""The sources by the name that `config.data.source` gives them."""

import pathlib
from collections.abc import Callable, Mapping

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
    """`together` is no setting: `data.build` says whether all processes read at once.

    Of a config whose `release` names a data set of the papers the folder may be what its
    owners distribute, in place of one with `annotations.npz`; the option `truth` names a
    file of points that the release lacks. Of videos the option `every` takes each so
    many-th frame.
    """
    from kpdiscovery.data import formats
    from kpdiscovery.data.files.folder import Folder

    if not data['path']:
        raise UserError('this config reads a folder of pictures: add --data=FOLDER')
    size, options = (data['size'], data['size']), dict(data['options'])
    notes = _of_release(data, options.pop('truth', ''))
    every, path = options.pop('every', 0), data['path']
    if notes is None:
        path, notes = formats.look(path, every=every)
    if notes is not None:
        options.setdefault('annotations', notes)
    return Folder(
        path,
        size=size,
        resize=data['resize'],
        split=split,
        together=data['together'],
        **options,
    )


def _of_release(data, truth):
    """The annotations of a release, None where the folder is no release."""
    from kpdiscovery.data import official

    name, own = data.get('release', ''), pathlib.Path(data['path']) / 'annotations.npz'
    given = own.is_file() or data['options'].get('annotations')
    if not name or given or not official.is_there(name, data['path']):
        if truth:
            raise UserError('data.options.truth is for official files: data.release')
        return None
    if official.named(name).clips:
        raise UserError(
            f'{data["path"]} has videos: cut them into pictures with `kpd convert {name} '
            f'--root={data["path"]} --out=FOLDER`, then --data=FOLDER'
        )
    return official.read(name, data['path'], truth=truth)


def _tfds(split, data):
    """A set of TFDS. The option `splits` names what stands for a split that it lacks:
    {'test': 'validation'} for imagenette."""
    from kpdiscovery.data.files.tfds_source import TfdsSource

    options, size = dict(data['options']), (data['size'], data['size'])
    split = dict(options.pop('splits', {})).get(split, split)
    return TfdsSource(split=split, size=size, resize=data['resize'], **options)


def _clevr(split, data):
    from kpdiscovery.data.files.clevr import clevr

    size = (data['size'], data['size'])
    objects = data['options']['objects']
    return clevr(split=split, size=size, resize=data['resize'], objects=objects)


def _multi_object(split, data):
    """A file of Multi-Object Datasets; options `name`, `objects`, `length`."""
    from kpdiscovery.data.files.multi_object import MultiObject

    if not data['path']:
        raise UserError(
            'this config reads a file of Multi-Object Datasets: add --data=FILE.tfrecords'
        )
    size = (data['size'], data['size'])
    options = {'split': split, 'size': size, 'resize': data['resize']}
    return MultiObject(data['path'], **options, **data['options'])


SOURCES: dict[str, Callable[[str, Mapping], Source]] = {
    'tetrominoes': _tetrominoes,
    'mnist_hard': _mnist_hard,
    'scenes': _scenes,
    'critters': _critters,
    'shapes': _shapes,
    'mixed': _mixed,
    'folder': _folder,
    'clevr': _clevr,
    'multi_object': _multi_object,
    'tfds': _tfds,
}
