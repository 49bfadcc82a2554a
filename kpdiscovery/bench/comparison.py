"""Cases of a benchmark: ours and others' functions for the same work, timed in turn.

With `--topology` nothing is run: ours are compiled for a TPU, and the row says what its
compiler does (`compiled.tpu`).
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from kpdiscovery.bench import roofline, timing
from kpdiscovery.compiled import tpu
from kpdiscovery.types import UserError

PEERS = {'faiss': 'faiss', 'kornia': 'kornia', 'pot': 'ot', 'torch': 'torch'}


@dataclasses.dataclass(frozen=True)
class Case:
    """Work of one size, and who does it."""

    case: str  # Such as 'n20000_d256_k100'.
    arguments: tuple[Any, ...]  # Arrays; what is static is bound to the functions.
    ours: Mapping[str, Callable[..., Any]]  # By implementation, 'auto' first.
    unit: str  # Plural, such as 'points': rates are `points_per_s`.
    count: int  # Of them in a call.
    bytes: float = 0  # To be read and written at least.
    flops: float = 0  # To be done at least.
    # A peer's name -> a function that prepares its work (not timed) and returns it.
    peers: Mapping[str, Callable[[], Callable[[], Any]]] = dataclasses.field(
        default_factory=dict
    )
    # Of our first result and a peer's -> more of the row, such as how far apart they are.
    compare: Callable[[Any, Any], dict[str, Any]] | None = None


def options(parser, peers: tuple[str, ...] = ()) -> None:
    """Adds `--clock`, `--topology` and, where there are peers, `--against`."""
    parser.add_argument(
        '--clock', choices=timing.CLOCKS, default='wall', help='cpu: of all threads'
    )
    parser.add_argument('--topology', help='compile for this TPU only, say v5e:2x2')
    if peers:
        text = f'time peers in turn: {", ".join(peers)}, or those installed'
        parser.add_argument('--against', choices=[*peers, 'installed'], help=text)


def rows(args, name: str, case: Case) -> Iterator[dict[str, Any]]:
    """A row an implementation, and more of the first one's if it has several peers."""
    if args.topology:
        yield from _compiled(args.topology, name, case)
        return
    ours = {
        impl: functools.partial(jax.jit(function), *case.arguments)
        for impl, function in case.ours.items()
    }
    peers = {peer: case.peers[peer]() for peer in _asked(args, case)}
    median = timing.median_ms({**ours, **peers}, args.repeats, args.clock)
    first = next(iter(ours))
    for impl in ours:
        row = {'name': name, 'case': case.case, 'impl': impl,
               'device': timing.device(), 'clock': args.clock,
               'median_ms': round(median[impl], 4),
               f'{case.unit}_per_s': round(1e3 * case.count / median[impl], 1),
               **_roof(args, case, median[impl])}  # fmt: skip
        if impl == first and peers:
            found = ours[impl]() if case.compare else None
            for peer, run in peers.items():
                more = case.compare(found, run()) if case.compare else {}
                yield row | _beside(peer, median[peer], median[impl]) | more
        else:
            yield row


def installed(peer: str) -> Any:
    """A peer's module.

    Raises:
        UserError: it is not there.
    """
    try:
        return importlib.import_module(PEERS[peer])
    except ImportError as error:
        raise UserError(
            f'--against={peer} needs it installed: pip install "kpdiscovery[bench]"'
        ) from error


def torch_device() -> str:
    """Where PyTorch's peers run: on a GPU if jax and PyTorch have one."""
    gpu = jax.default_backend() == 'gpu' and installed('torch').cuda.is_available()
    return 'cuda' if gpu else 'cpu'


def finished(run: Callable[[], Any]) -> Callable[[], Any]:
    """PyTorch's work, which on a GPU returns before it is done, to its end."""
    if torch_device() == 'cpu':
        return run

    def whole():
        found = run()
        installed('torch').cuda.synchronize()
        return found

    return whole


def host(tensor: Any) -> Any:
    """PyTorch's numbers as numpy."""
    return tensor.detach().cpu().numpy()


def _asked(args, case):
    """Of the case's peers those that are to be timed."""
    against = getattr(args, 'against', None) or ''
    if against in case.peers:
        installed(against)
        return [against]
    return [p for p in case.peers if against == 'installed' and _here(p)]


def _here(peer):
    try:
        return installed(peer) is not None
    except UserError:
        return False


def _roof(args, case, median):
    if not (case.bytes or case.flops):
        return {}
    least = roofline.milliseconds(case.bytes, case.flops, args.clock)
    return {'roofline_ms': round(least, 4), 'roofline_share': round(least / median, 3)}


def _beside(peer, theirs, ours):
    return {
        'peer': peer,
        'peer_version': getattr(installed(peer), '__version__', ''),
        'peer_device': 'cpu' if peer == 'faiss' else torch_device(),
        'peer_median_ms': round(theirs, 4),
        'ratio': round(theirs / ours, 3),
    }


def _compiled(topology, name, case):
    schedules = tpu.prepare()
    chip = tpu.chips(topology)[0]
    for impl, function in case.ours.items():
        program = tpu.compile_for(chip, function, *case.arguments)
        found = tpu.figures(program, topology=topology, schedules=schedules)
        yield {'name': name, 'case': case.case, 'impl': impl, 'device': topology,
               **found._asdict(),
               'bytes_ms': tpu.milliseconds(case.bytes, topology)}  # fmt: skip
