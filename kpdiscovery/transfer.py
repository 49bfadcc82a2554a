"""Networks that another run trained, as the weights that this one starts from."""

from __future__ import annotations

import os
import pathlib
import tempfile
from typing import Any

from kpdiscovery import inference, paths, processes
from kpdiscovery.models import weights
from kpdiscovery.types import Method, Run, UserError, WeightFile


def is_run(path: str) -> bool:
    """Whether something was trained there."""
    return bool(path) and (paths.folder(path) / 'checkpoints').is_dir()


def settle(settings: Any, method: Method, workdir: str | os.PathLike) -> None:
    """Files in place of the runs that a config names as weights; in place.

    The weights are written into the workdir and named in the config, and the section
    takes over what the method says of such a run.

    Raises:
        UserError: the run's method has no such network.
    """
    for file in method.weight_files():
        if is_run(file.path):
            _take(settings.method, file, paths.folder(workdir))


def _take(section: Any, file: WeightFile, workdir: paths.Path) -> None:
    *parents, last = file.field.split('.')
    for name in parents:
        section = section[name]
    tree, options = _of_run(file)
    path = workdir / f'{file.field}.safetensors'
    processes.by_first(lambda: _save(path, tree))
    section.update({**options, last: str(path)})


def _of_run(file: WeightFile) -> Any:
    where = f'method.{file.field}={file.path}'
    if file.of_run is None:
        raise UserError(f'{where} is a workdir, wanted a file of weights')
    trained = inference.load(file.path)
    section = trained.config.method
    try:
        return file.of_run(Run(section.name, section.to_dict(), trained.variables))
    except UserError as error:
        raise UserError(f'{where}: {error}') from None


def _save(path: paths.Path, tree: Any) -> None:
    """Through a folder of this machine where the workdir is in a bucket."""
    if not paths.is_remote(path):
        weights.save(path, tree)
        return
    with tempfile.TemporaryDirectory() as folder:
        here = pathlib.Path(folder) / path.name
        weights.save(here, tree)
        paths.write(path, here.read_bytes())
