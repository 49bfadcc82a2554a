"""The sources by the name that `config.data.source` gives them."""

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
    """`together` is no setting: `data.build` says whether all processes read at once."""
    from kpdiscovery.data.files.folder import Folder

    if not data['path']:
        raise UserError('this config reads a folder of pictures: add --data=FOLDER')
    size = (data['size'], data['size'])
    return Folder(
        data['path'],
        size=size,
        resize=data['resize'],
        split=split,
        together=data['together'],
        **data['options'],
    )


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
