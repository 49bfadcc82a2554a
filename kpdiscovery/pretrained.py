"""Trained models as single files: `from_pretrained`, and what `kpd export` writes for it.

A file is safetensors with the weights by our own names and the config among its metadata.
"""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import ml_collections
import numpy as np
import safetensors
import safetensors.numpy
from flax import traverse_util

from kpdiscovery import config as config_lib
from kpdiscovery import inference, methods, paths
from kpdiscovery.config import nearest
from kpdiscovery.types import UserError

FILE = 'weights.safetensors'  # In a folder or a repository of the Hub.
HUB = 'hf://'
_PACKAGED = pathlib.Path(__file__).with_name('checkpoints')
_LARGEST = 1 << 22  # Characters of a config.


def names() -> tuple[str, ...]:
    """Models that come with the library, such as 'tusk/tetrominoes'."""
    return tuple(
        sorted(path.stem.replace('--', '/') for path in _PACKAGED.glob('*.safetensors'))
    )


def from_pretrained(name: str, overrides: tuple[str, ...] = ()) -> inference.Trained:
    """A trained model to predict with.

        trained = from_pretrained('tusk/tetrominoes')
        found = inference.predict_images(trained, images)  # uint8 [B, H, W, 3]

    Args:
        name: one of `names()`; a file that `save` wrote, or a folder with one (`kpd
            export`); or 'hf://OWNER/REPOSITORY' of the Hugging Face Hub.
        overrides: as in `inference.load`.

    Raises:
        UserError: there is none of that name, or the file is damaged or of an older form.
    """
    trained = load(_file(name))
    config_lib.override(trained.config, overrides)
    return trained._replace(method=methods.build(trained.config.method))


def save(path: str | os.PathLike, trained: inference.Trained) -> None:
    """Writes weights and config as one file."""
    flat = traverse_util.flatten_dict(jax.device_get(trained.variables), sep='/')
    told = {
        'config': json.dumps(trained.config.to_dict()),
        'meta': json.dumps(trained.meta),
    }
    values = {name: np.ascontiguousarray(value) for name, value in flat.items()}
    pathlib.Path(path).write_bytes(safetensors.numpy.save(values, metadata=told))


def load(path: str | os.PathLike) -> inference.Trained:
    """What `save` wrote.

    Raises:
        UserError: there is no such file, or it is none of ours.
    """
    try:
        with safetensors.safe_open(os.fspath(path), framework='numpy') as file:
            told = file.metadata() or {}
            flat = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise UserError(f'{path} cannot be read as a model ({error})') from None
    try:
        config, meta = (_json(told[name]) for name in ('config', 'meta'))
        settings = ml_collections.ConfigDict(config)
        method = methods.build(settings.method)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f'{path} is no model of ours ({error})') from None
    variables = traverse_util.unflatten_dict(flat, sep='/')
    return inference.Trained(method, variables, settings, meta)


def without_places(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """A config to be given away: nothing of where pictures lie on this machine."""
    told = config.to_dict()
    data, run = told['data'], told.get('run', {})
    options = data.get('options', {}).items()
    data |= {
        'path': '',
        'keypoints': '' if _is_place(name := data.get('keypoints', '')) else name,
        'options': {key: value for key, value in options if not _is_place(value)},
    }
    run |= {key: '' for key, value in run.items() if _is_place(value)}
    return ml_collections.ConfigDict(told)


def _is_place(value: Any) -> bool:
    return isinstance(value, str) and (
        paths.is_remote(value) or os.path.isabs(os.path.expanduser(value))
    )


def upload(
    folder: str | os.PathLike, repository: str, files: Sequence[str] = ()
) -> str:
    """Puts files of a folder on the Hugging Face Hub; returns their address there.

    Who you are is the business of huggingface_hub (`hf auth login`).

    Args:
        files: their names; all if none.

    Raises:
        UserError: the Hub cannot be reached, or refuses.
    """
    hub = _hub()
    try:
        hub.create_repo(repository, exist_ok=True)
        told = hub.upload_folder(
            repo_id=repository, folder_path=os.fspath(folder),
            allow_patterns=list(files) or None,
        )  # fmt: skip
    except Exception as error:  # Of kinds that change with its versions.
        raise _refused(repository, error) from error
    return str(told)


def _file(name: str) -> pathlib.Path:
    if name.startswith(HUB):
        repository = name.removeprefix(HUB)
        hub = _hub()
        try:
            return pathlib.Path(hub.hf_hub_download(repository, FILE))
        except Exception as error:  # As above.
            raise _refused(repository, error) from error
    packaged = _PACKAGED / f'{name.replace("/", "--")}.safetensors'
    if name in names():
        return packaged
    path = pathlib.Path(name)
    if path.is_dir():
        path = path / FILE
    if not path.is_file():
        known = ', '.join(names())
        raise UserError(
            f'no model {name!r}{nearest(name, names())}; there are: {known}; or give a '
            f'file, a folder of kpd export, or {HUB}OWNER/REPOSITORY'
        )
    return path


def _json(text: str) -> Any:
    if len(text) > _LARGEST:
        raise ValueError('its config has no end')
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError('its config is no config')
    return found


def _refused(repository: str, error: Exception) -> UserError:
    line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return UserError(
        f'Hugging Face Hub, {repository}: {line}; is it OWNER/REPOSITORY, is there a network, '
        'are you logged in (hf auth login)?'
    )


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise UserError(
            "the Hugging Face Hub needs its library: pip install 'kpdiscovery[hub]'"
        ) from None
    return huggingface_hub
