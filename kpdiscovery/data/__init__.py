"""What pictures there are: `build` makes a config's source, `point_to` applies --data."""

from collections.abc import Mapping
from typing import Any

from kpdiscovery import paths
from kpdiscovery.data.sources import SOURCES
from kpdiscovery.types import Source, UserError

SPLITS = ('train', 'validation', 'test')
READ_FILES = ('mnist_hard', 'folder', 'multi_object')  # --data gives these their files.


def build(data: Mapping[str, Any], *, split: str, together: bool = False) -> Source:
    """The source named by a config's `data` section.

    With `data.rows` the training split is thinned evenly to so many rows (`subset`),
    with `data.features` rows have the dense features of that folder (`joined.features`).

    Args:
        split: 'train', 'validation' or 'test'; of a folder 'all' too.
        together: all processes of JAX build it at the same time, and share the work.
    """
    if data['source'] not in SOURCES:
        raise UserError(
            f'data.source must be one of {sorted(SOURCES)}, got {data["source"]!r}'
        )
    if split not in (*SPLITS, 'all'):
        raise UserError(f'split must be one of {SPLITS}, got {split!r}')
    path = paths.local(data['path']) if data.get('path') else ''
    data = {**data, 'path': path, 'together': together}
    try:
        source = SOURCES[data['source']](split, data)
    except (TypeError, ValueError) as error:  # An option or value it does not have.
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
