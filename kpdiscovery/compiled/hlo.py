"""Reading the text of an optimised XLA program (`compiled.as_text()`).

For TPUs the compiler writes into every operation how many cycles it expects it to take;
gathers, scatters, sorts and kernels it leaves at none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

_COMPUTATION = re.compile(r'^(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$')
_INSTRUCTION = re.compile(r'^\s+(?:ROOT )?%?([\w.\-<>]+) = (.*)$')
_OPCODE = re.compile(r' ([a-z][a-z0-9\-]*)\(')
_CALLS = re.compile(
    r'(?:to_apply|calls|body|true_computation|false_computation)=%?([\w.\-]+)'
)
_BRANCHES = re.compile(r'branch_computations=\{([^}]*)\}')
_SHAPE = re.compile(r'\b([a-z]+\d*)\[([\d,]*)\]')
_BYTES = {'pred': 1, 's4': 0.5, 'u4': 0.5, 's8': 1, 'u8': 1, 's16': 2, 'u16': 2,
          'bf16': 2, 'f16': 2, 's64': 8, 'u64': 8, 'f64': 8}  # fmt: skip
_COLLECTIVES = (
    'all-reduce', 'all-gather', 'all-to-all', 'collective-permute', 'reduce-scatter',
    'collective-broadcast', 'ragged-all-to-all',
)  # fmt: skip
_FREE = ('parameter', 'constant', 'tuple', 'get-tuple-element', 'bitcast')


class Operation(NamedTuple):
    """An operation of a program, and how often a run of it does it."""

    name: str
    opcode: str
    cycles: int  # Of one time, as the compiler expects; 0: it does not say.
    times: int  # Loops multiplied out; all branches of a conditional count.
    text: str


def operations(text: str) -> Iterator[Operation]:
    """All operations that a run reaches, those inside fusions left out."""
    computations, entry = _computations(text)
    yield from _visit(computations, entry, 1)


def collectives(text: str) -> dict[str, tuple[int, int]]:
    """Kind -> (how often a run does it, bytes of all that comes out of them)."""
    found: dict[str, tuple[int, int]] = {}
    for operation in operations(text):
        # Of the asynchronous ones the end has the result alone.
        kind = operation.opcode.removesuffix('-done')
        if kind in _COLLECTIVES:
            times, size = found.get(kind, (0, 0))
            size += operation.times * _result_bytes(operation.text)
            found[kind] = times + operation.times, size
    return found


def aliases(text: str) -> int:
    """Outputs whose memory is that of an argument."""
    head = text.partition('\n')[0]
    return len(re.findall(r'\(\d+, \{[\d, ]*\}, (?:may|must)-alias\)', head))


def _result_bytes(line: str) -> int:
    """Of an operation's result: what stands between its name and its opcode."""
    result = re.sub(r'\{[^{}]*\}', '', line.partition(' = ')[2])
    result = result[: found.start()] if (found := _OPCODE.search(result)) else result
    return int(sum(math.prod(map(int, filter(None, axes.split(',')))) * _BYTES.get(kind, 4)
                   for kind, axes in _SHAPE.findall(result)))  # fmt: skip


def _computations(text) -> tuple[dict[str, list[str]], str]:
    found: dict[str, list[str]] = {}
    entry = name = ''
    for line in text.splitlines():
        if start := _COMPUTATION.match(line):
            name = start[2]
            found[name] = []
            entry = name if start[1] else entry
        elif line.startswith('}'):
            name = ''
        elif name:
            found[name].append(line)
    return found, entry


def _visit(computations, name, times) -> Iterator[Operation]:
    for line in computations.get(name, ()):
        if not (instruction := _INSTRUCTION.match(line)):
            continue
        body = instruction[2].split(', metadata=')[0]
        found = _OPCODE.search(' ' + re.sub(r'\{[^{}]*\}', '', body))
        opcode = found[1] if found else ''
        if opcode in _FREE:
            continue
        cycles = re.search(r'"estimated_cycles":"(\d+)"', line)
        if opcode == 'while':
            often = times * _trips(line, computations)
            for inner in _CALLS.findall(line):
                yield from _visit(computations, inner, often)
        elif opcode == 'conditional' or (
            opcode in ('call', 'async-start') and not cycles
        ):
            for inner in _called(line):
                yield from _visit(computations, inner, times)
        else:
            many = int(cycles[1]) if cycles else 0
            yield Operation(instruction[1], opcode, many, times, line)


def _called(line):
    yield from _CALLS.findall(line)
    for branches in _BRANCHES.findall(line):
        yield from (name.strip(' %') for name in branches.split(','))


def _trips(line, computations) -> int:
    """As the compiler knows, or the largest number the condition compares with."""
    if known := re.search(r'"known_trip_count":\{"n":"(\d+)"', line):
        return int(known[1])
    condition = re.search(r'condition=%?([\w.\-]+)', line)
    lines = computations.get(condition[1], ()) if condition else ()
    numbers = re.findall(r' constant\((\d+)\)', '\n'.join(lines))
    return max(map(int, numbers), default=1)
