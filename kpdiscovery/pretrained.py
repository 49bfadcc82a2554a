"""Trained models as single files: `from_pretrained`, and what `kpd export` writes for it.

A file is safetensors with the weights by our own names and the config among its metadata.
"""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

import jax
import ml_collections
import numpy as np
import safetensors
import safetensors.numpy
from flax import traverse_util

from kpdiscovery import config as config_lib
from kpdiscovery import inference, methods
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


def upload(folder: str | os.PathLike, repository: str) -> str:
    """Puts a folder of `kpd export` on the Hugging Face Hub; returns its address there.

    Who you are is the business of huggingface_hub (`hf auth login`).
    """
    hub = _hub()
    hub.create_repo(repository, exist_ok=True)
    told = hub.upload_folder(repo_id=repository, folder_path=os.fspath(folder))
    return str(told)


def _file(name: str) -> pathlib.Path:
    if name.startswith(HUB):
        repository = name.removeprefix(HUB)
        return pathlib.Path(_hub().hf_hub_download(repository, FILE))
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


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise UserError(
            "the Hugging Face Hub needs its library: pip install 'kpdiscovery[hub]'"
        ) from None
    return huggingface_hub
