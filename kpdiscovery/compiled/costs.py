"""What a TPU's compiler says of a program of training: a row of figures, for one chip."""

from __future__ import annotations

import collections
import re
import time
import warnings
from typing import Any

import jax

from kpdiscovery.compiled import hlo, places, tpu
from kpdiscovery.compiled.phases import Program

Row = dict[str, Any]
# What the compiler may leave without a price, if it takes any time.
_UNPRICED = (
    'custom-call', 'dynamic-gather', 'gather', 'reduce-window', 'scatter',
    'select-and-scatter', 'sort', 'topk',
)  # fmt: skip
_NO_TIME = ('AllocateBuffer', 'ConcatBitcast')  # Custom calls.
_TOO_LARGE = re.compile(r'\(([\d.]+)([KMG])\) exceeds available HBM')
_UNITS = {'K': 2**10, 'M': 2**20, 'G': 2**30}
_LINES = 30  # Of ours, those with the most time.


def compile_program(program: Program, topology: str) -> Row:
    """Compiles it, and says what became of it.

    Sizes are bytes a chip. `needed` is the most that is held at a time, the program's
    code and what training keeps beside included; `fits` compares it with the chip's
    memory. Where the compiler gives up for want of memory there is little more.

    `estimated_ms` leaves out what the compiler does not price: `unpriced`, {opcode at
    line: how often}. `compile_s` is processor time of all threads, tracing left out.
    """
    memory = tpu.HBM_BYTES[topology.partition(':')[0]]
    row = {'phase': program.phase, 'part': program.part, 'memory': memory}
    start = time.process_time()
    with jax.set_mesh(program.mesh), warnings.catch_warnings():
        # What was not donated is in the row.
        warnings.filterwarnings('ignore', 'Some donated buffers were not usable')
        lowered = program.function.lower(*program.arguments)
        traced = time.process_time()
        try:
            compiled = lowered.compile()
        except jax.errors.JaxRuntimeError as error:
            if not (needed := _wanted(str(error))):
                raise
            return row | {'fits': False, 'needed': needed + program.beside}
    end = time.process_time()
    found = _sizes(compiled, program)
    return {
        **row, 'fits': found['needed'] <= memory, **found, **_work(compiled, topology),
        'trace_s': round(traced - start, 1), 'compile_s': round(end - traced, 1),
    }  # fmt: skip


def _wanted(message: str) -> float:
    """Bytes that a chip does not have, of the compiler's complaint; 0 of another one."""
    found = _TOO_LARGE.search(message)
    return float(found[1]) * _UNITS[found[2]] if found else 0


def _sizes(compiled, program) -> Row:
    memory = compiled.memory_analysis()
    code = memory.generated_code_size_in_bytes
    return {
        'needed': memory.peak_memory_in_bytes + code + program.beside,
        'arguments': memory.argument_size_in_bytes,
        'outputs': memory.output_size_in_bytes,
        'temporary': memory.temp_size_in_bytes,
        'peak': memory.peak_memory_in_bytes,
        'code': code,
        'beside': program.beside,
        'to_reuse': program.donated,
        'reused': memory.alias_size_in_bytes,
    }


def _work(compiled, topology) -> Row:
    """Flops and bytes as XLA counts them; times and collectives, loops multiplied out."""
    said = compiled.cost_analysis() or {}
    row = {'flops': said.get('flops', 0.0), 'bytes': said.get('bytes accessed', 0.0)}
    try:
        text = compiled.as_text()
    except jax.errors.JaxRuntimeError:  # Some of libtpu's operations jax cannot print.
        return row
    clock = tpu.CLOCK_HZ[topology.partition(':')[0]] / 1e3
    place = places.reader(text)
    lines: collections.Counter[str] = collections.Counter()
    unpriced: collections.Counter[str] = collections.Counter()
    for operation in hlo.operations(text):
        where = place(operation.text)
        lines[where] += operation.cycles * operation.times
        if _is_unpriced(operation):
            unpriced[f'{_kind(operation)} {where}'.strip()] += operation.times
    first = lines.most_common(_LINES)
    return row | {
        'estimated_ms': round(lines.total() / clock, 3),
        'lines_ms': {name: round(n / clock, 3) for name, n in first if n},
        'unpriced': dict(unpriced.most_common()),
        'collectives': {kind: {'times': times, 'bytes': size}
                        for kind, (times, size) in hlo.collectives(text).items()},
        'aliases': hlo.aliases(text),
    }  # fmt: skip


def _kind(operation: hlo.Operation) -> str:
    """Its opcode, of a custom call what is called."""
    found = re.search(r'custom_call_target="([^"]*)"', operation.text)
    return found[1] if found else operation.opcode


def _is_unpriced(operation: hlo.Operation) -> bool:
    dear = operation.opcode in _UNPRICED and _kind(operation) not in _NO_TIME
    return dear and not operation.cycles


def largest_batch(first: Row, second: Row, sizes: tuple[int, int], chips: int) -> int:
    """The largest global batch that fits, were memory a line through two of them.

    Args:
        first, second: rows of a program at the two `sizes`.

    Returns:
        A multiple of `chips`; 0: not even the smallest.
    """
    slope = (second['needed'] - first['needed']) / (sizes[1] - sizes[0])
    left = first['memory'] - first['needed']
    if slope <= 0:
        return max(sizes) if left >= 0 else 0
    return max(0, int(sizes[0] + left / slope) // chips * chips)
