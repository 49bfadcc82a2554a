"""`kpd export`: a trained model as a program that runs without this library.

Writes into --out model.jax (StableHLO with the weights inside, any batch size, as `jax.export`
reads it), weights.safetensors for `kpd predict --pretrained` and `from_pretrained`, config.json
and README.md, a card with what it was trained on, its measured figures
and the lines that run it. The written program is run beside the model before it is kept.
"""

from __future__ import annotations

import importlib.util
import json
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export as jax_export

from kpdiscovery import __version__, cli, inference, predict, pretrained
from kpdiscovery.data.files import outputs
from kpdiscovery.reporting import cards, logs
from kpdiscovery.types import UserError
from pallas_kernels import calls

FORMAT = 1  # Of the folder; told in config.json.
MODEL = 'model.jax'
CONFIG, CARD = 'config.json', 'README.md'
PLATFORMS = ('cpu', 'cuda', 'tpu')
_TOLERANCE = 1e-3  # Pixels and shares, between the model and its program.


def main(argv: Sequence[str]) -> int:
    """Writes the files and says how well program and model agree; 0."""
    parser = cli.Parser('kpd export', description=__doc__)
    parser.add_argument('--workdir', required=True, help='of kpd train')
    parser.add_argument('--out', required=True, help='folder to write to')
    parser.add_argument(
        '--platforms', default=','.join(PLATFORMS), help='default: %(default)s'
    )
    parser.add_argument(
        '--hub', metavar='OWNER/REPOSITORY', help='also upload to the Hugging Face Hub'
    )
    args, overrides = parser.parse(argv)
    platforms = args.platforms.split(',')
    _check(args.out, platforms)
    trained = inference.load(args.workdir, overrides)
    out, program = predict.make_folder(args.out), as_function(trained)
    content = serialized(program, trained, platforms)
    apart = difference(content, program, trained)
    (out / MODEL).write_bytes(content)
    text = cards.card(trained, logs.read_metrics(args.workdir), model=MODEL)
    (out / CARD).write_text(text)
    given = trained._replace(config=pretrained.without_places(trained.config))
    pretrained.save(out / pretrained.FILE, given)
    (out / CONFIG).write_text(_config(given))
    size = f'{len(content) / 1e6:.1f} MB'
    print(f'{MODEL} ({size}): on three pictures within {apart:.1g} of the model')
    print(f'written to {out}')
    if args.hub:
        files = (MODEL, pretrained.FILE, CONFIG, CARD)
        print(f'uploaded to {pretrained.upload(out, args.hub, files)}')
    return 0


def _check(out: str, platforms: Sequence[str]) -> None:
    """What cannot end well, told before anything is loaded."""
    cli.check_local(out)
    if importlib.util.find_spec('flatbuffers') is None:
        raise UserError(
            "the program is written with flatbuffers: pip install 'kpdiscovery[export]'"
        )
    if unknown := set(platforms) - set(PLATFORMS):
        raise UserError(f'--platforms: {unknown.pop()!r} is none of {PLATFORMS}')
    here = jax.default_backend().replace('gpu', 'cuda')
    if here not in platforms:
        raise UserError(
            f'--platforms={",".join(platforms)}: the program is run on this machine before '
            f'it is kept, add {here}'
        )
    folder = pathlib.Path(out)
    if outputs.is_workdir(folder):
        raise UserError(f'--out={out} holds a run, which would lose its config.json')
    if not (folder / MODEL).exists():
        for name in (CONFIG, CARD):
            if (folder / name).exists():
                raise UserError(
                    f'--out={out} has a {name} of something else: give a folder of its own'
                )


def as_function(trained: inference.Trained) -> Callable[[jax.Array], dict[str, Any]]:
    """Pictures `[B, H, W, 3]` float32 in [0, 1] to all that the method says of them, by
    name: `xy`, `score`, `label`, `valid` of keypoints, and the fields of `Prediction`.

    Raises:
        UserError: the method reads more than pictures.
    """
    if trained.config.data.get('features', ''):
        raise UserError('kpd export: the model reads given features, not pictures')

    def run(images):
        found: Any = trained.method.predict(trained.variables, images)
        fields = {
            name: value for name, value in vars(found).items() if value is not None
        }
        return {**vars(fields.pop('keypoints')), **fields}

    return run


def serialized(program, trained, platforms: Sequence[str]) -> bytes:
    """The program for any batch size, for each of the platforms.

    What must know its batch size sees one picture after the other. Kernels are left out:
    one program serves all platforms.
    """
    side = trained.config.data.size
    shape = jax_export.symbolic_shape(f'b, {side}, {side}, 3')
    images = jax.ShapeDtypeStruct(shape, jnp.float32)
    write = lambda run: jax_export.export(jax.jit(run), platforms=platforms)(images)
    each = lambda images: jax.lax.map(_of_one(program), images)
    with calls.plain():
        try:
            return bytes(write(program).serialize())
        except Exception:  # Each step refuses a batch of unknown size in its own way.
            return bytes(write(each).serialize())


def _of_one(program):
    return lambda image: {
        name: value[0] for name, value in program(image[None]).items()
    }


def difference(content: bytes, program, trained) -> float:
    """Largest difference between a serialized program and the model on three pictures.

    Raises:
        UserError: they are not the same.
    """
    side = trained.config.data.size
    images = np.random.default_rng(0).random((3, side, side, 3), np.float32)
    got = jax_export.deserialize(bytearray(content)).call(images)
    want = jax.jit(program)(images)
    gap = np.max([_gap(got[name], want[name]) for name in want])  # NaN if one is.
    if not gap <= _TOLERANCE:
        raise UserError(f'kpd export: the program differs from the model by {gap:.2g}')
    return float(gap)


def _gap(got, want):
    """The largest difference; NaN where only one is NaN."""
    got, want = np.float64(got), np.float64(want)
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    with np.errstate(invalid='ignore'):  # Of infinities.
        return np.max(np.where(same, 0, np.abs(got - want)), initial=0)


def _config(trained):
    told = {'format': FORMAT, 'version': __version__, **trained.config.to_dict()}
    return json.dumps(told, indent=1)


if __name__ == '__main__':
    sys.exit(cli.run(main))
