"""`kpd export`: a trained model as a program that runs without this library.

Writes into --out model.jax (StableHLO with the weights inside, any batch size, as `jax.export`
reads it), weights.safetensors for `kpd predict --pretrained` and `from_pretrained`, config.json
and README.md, a card with what it was trained on, its measured figures
and the lines that run it. The written program is run beside the model before it is kept.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export as jax_export

from kpdiscovery import __version__, cli, inference, predict, pretrained, version
from kpdiscovery.reporting import logs, measured
from kpdiscovery.types import UserError
from pallas_kernels import calls

FORMAT = 1  # Of the folder; told in config.json.
MODEL = 'model.jax'
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
    trained = inference.load(args.workdir, overrides)
    out, program = predict.make_folder(args.out), as_function(trained)
    content = serialized(program, trained, args.platforms.split(','))
    apart = difference(content, program, trained)
    (out / MODEL).write_bytes(content)
    pretrained.save(out / pretrained.FILE, trained)
    (out / 'config.json').write_text(_config(trained))
    (out / 'README.md').write_text(card(trained, logs.read_metrics(args.workdir)))
    print(
        f'{MODEL} ({len(content) / 1e6:.1f} MB) gives what the model does to {apart:.1g}'
    )
    print(f'written to {out}')
    if args.hub:
        print(f'uploaded to {pretrained.upload(out, args.hub)}')
    return 0


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

    Raises:
        UserError: no such platform.
    """
    if unknown := set(platforms) - set(PLATFORMS):
        raise UserError(f'--platforms: {unknown.pop()!r} is none of {PLATFORMS}')
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
    gaps = [
        np.abs(np.float64(got[name]) - np.float64(want[name])).max() for name in want
    ]
    if not max(gaps) <= _TOLERANCE:
        raise UserError(
            f'kpd export: the program differs from the model by {max(gaps):.2g}'
        )
    return float(max(gaps))


def card(trained: inference.Trained, found: dict[str, Any] | None) -> str:
    """A model card in Markdown; `found` is what metrics.json has."""
    config, meta = trained.config, trained.meta
    data, side = config.data, config.data.size
    lines = [
        f'# {config.method.name} on {data.source}',
        f'Keypoints found without keypoint labels, by kpdiscovery {__version__} '
        f'({version.commit() or "no commit"}). Settings: config.json.',
        f'- Pictures: `{data.source}`, {side} x {side} px, resize `{data.resize}`; seed '
        f'{config.seed}; {meta.get("step", 0)} steps of phase {meta.get("phase", "-")}, '
        f'{meta.get("seconds", 0):.0f} s on {meta.get("device", "an unknown device")}.',
        '- Pictures must be fitted like that before (bars black); xy are pixels of the '
        'fitted picture.' + _BARS * ('pixels_valid' in trained.method.batch_fields),
        '- Intended for pictures like those it was trained on; whose they are and their '
        'licence is the business of who trained it.',
        '## Use', f'```python\n{_USE.format(model=MODEL, side=side)}```',
        '## Measured', *_measured(found, trained),
    ]  # fmt: skip
    return '\n\n'.join(lines) + '\n'


_BARS = ' The program does not know what is a bar and what a dark picture.'
_USE = """import jax, numpy as np
model = jax.export.deserialize(bytearray(open('{model}', 'rb').read()))
images = np.zeros((4, {side}, {side}, 3), np.float32)  # RGB in [0, 1], any number of them.
found = model.call(images)  # A dict: xy [4, K, 2] in pixels, score, label, valid, ...
"""


def _measured(found, trained):
    if not found:
        return ['Nothing: `kpd evaluate` was not run.']
    head = (f'{found["pictures"]} pictures of split {found["split"]}; what each figure '
            'is: docs of `kpdiscovery.metrics`.')  # fmt: skip
    if older := measured.apart(found, trained.config, trained.meta):
        head = f'Measured {older}: not of these weights. {head}'
    cell = lambda value: '-' if value is None else f'{value:.3f}'
    rows = [f'| {name} | {cell(value)} |' for name, value in found['metrics'].items()]
    return [head, '\n'.join(['| figure | value |', '|---|---|', *rows])]


def _config(trained):
    told = {'format': FORMAT, 'version': __version__, **trained.config.to_dict()}
    return json.dumps(told, indent=1)


if __name__ == '__main__':
    sys.exit(cli.run(main))
