"""The pickles in torch's files, read without running anything that they name.

A pickle is a program for a machine with a stack. This is a smaller machine: it knows the
instructions that torch writes, builds plain containers, and where a pickle calls a
function by name it calls one of ours or refuses. Work is bounded: a pickle has
a largest number of instructions, and none takes longer than what the pickle spells out.
"""

from __future__ import annotations

import pickletools
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO

from kpdiscovery.models.torch_values import (
    GLOBALS,
    Dtype,
    Refused,
    Storage,
    checked_key,
    expect,
    natural,
    short,
)

_MAX_STEPS = 1_000_000  # Instructions; a network needs about 40 a tensor.
_MAX_ARGUMENTS = 8


def load(stream: BinaryIO) -> tuple[Any, Mapping[str, Storage]]:
    """The value of one pickle and the storages it names; `stream` stands behind it.

    Returns:
        Numbers, strings, None, `Tensor`, `Storage`, and dicts, lists and tuples of them,
        which may hold themselves.

    Raises:
        Refused: it holds something else.
        ValueError, LookupError, TypeError: it is damaged.
    """
    machine = _Machine()
    for count, (op, argument, _) in enumerate(pickletools.genops(stream)):
        if op.name == 'STOP':
            return machine.stack.pop(), machine.storages
        if count == _MAX_STEPS:
            raise Refused(f'a pickle of more than {_MAX_STEPS:,} instructions')
        if op.name not in _STEPS:
            raise Refused(f"pickled otherwise than torch's files are ({op.name})")
        _STEPS[op.name](machine, argument)
    raise ValueError('no end')


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # The stacks under each mark.
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def mark(self, _: Any) -> None:
        self.below.append(self.stack)
        self.stack = []

    def taken(self) -> list[Any]:
        """What stands above the last mark."""
        items, self.stack = self.stack, self.below.pop()
        return items

    def tuple_of(self, count: int) -> None:
        items = [self.stack.pop() for _ in range(count)]
        self.push(tuple(reversed(items)))

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def extend(self, items: Sequence[Any]) -> None:
        expect(self.stack[-1], list).extend(items)

    def fill(self, items: Sequence[Any]) -> None:
        pairs = zip(items[::2], items[1::2], strict=True)
        expect(self.stack[-1], dict).update((checked_key(k), v) for k, v in pairs)

    def find(self, name: str) -> None:
        if name not in GLOBALS:
            raise Refused(
                f'a torch file with {short(name.replace(" ", "."))} in it, and only '
                'tensors in dicts and lists are read; save the state dict alone'
            )
        self.push(GLOBALS[name])

    def call(self, _: Any) -> None:
        arguments = self.arguments()
        function = expect(self.stack.pop(), types.FunctionType)  # Of `GLOBALS`.
        self.push(function(*arguments))

    def arguments(self) -> tuple[Any, ...]:
        """Few, for the same long tuple could be copied by every call."""
        if len(expect(self.stack[-1], tuple)) > _MAX_ARGUMENTS:
            raise ValueError('too many arguments')
        return self.stack.pop()

    def build(self, _: Any) -> None:
        self.stack.pop()  # Attributes of an OrderedDict: versions of torch's modules.
        expect(self.stack[-1], dict)

    def refer(self, _: Any) -> None:
        kind, dtype, key, _, count, *view = self.arguments()
        if kind != 'storage' or any(part is not None for part in view):
            raise Refused('a torch file with more than tensors; save the state dict')
        new = Storage(expect(key, str), expect(dtype, Dtype), natural(count))
        if self.storages.setdefault(key, new) != new:
            raise ValueError('a storage of two sizes')
        self.push(self.storages[key])


_Step = Callable[[_Machine, Any], None]


def _protocol(_: _Machine, version: int) -> None:
    if version != 2:
        raise Refused(f'pickle protocol {version}, and torch writes 2')


_STEPS: dict[str, _Step] = {
    'PROTO': _protocol,
    'MARK': _Machine.mark,
    'NONE': lambda m, _: m.push(None),
    'NEWTRUE': lambda m, _: m.push(True),
    'NEWFALSE': lambda m, _: m.push(False),
    'EMPTY_DICT': lambda m, _: m.push({}),
    'EMPTY_LIST': lambda m, _: m.push([]),
    'EMPTY_TUPLE': lambda m, _: m.push(()),
    'TUPLE1': lambda m, _: m.tuple_of(1),
    'TUPLE2': lambda m, _: m.tuple_of(2),
    'TUPLE3': lambda m, _: m.tuple_of(3),
    'TUPLE': lambda m, _: m.push(tuple(m.taken())),
    'APPEND': lambda m, _: m.extend([m.stack.pop()]),
    'APPENDS': lambda m, _: m.extend(m.taken()),
    'SETITEM': lambda m, _: m.fill([m.stack.pop() for _ in range(2)][::-1]),
    'SETITEMS': lambda m, _: m.fill(m.taken()),
    'GLOBAL': _Machine.find,
    'REDUCE': _Machine.call,
    'BUILD': _Machine.build,
    'BINPERSID': _Machine.refer,
    **dict.fromkeys(('BINPUT', 'LONG_BINPUT'), _Machine.put),
    **dict.fromkeys(
        ('BINGET', 'LONG_BINGET'), lambda m, index: m.push(m.memo[index])
    ),
    **dict.fromkeys(
        ('BININT', 'BININT1', 'BININT2', 'LONG1', 'BINFLOAT', 'BINUNICODE',
         'BINSTRING', 'SHORT_BINSTRING'), _Machine.push,  # The last two: Python 2.
    ),
}  # fmt: skip
