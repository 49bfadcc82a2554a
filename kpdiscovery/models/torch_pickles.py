"""The pickles in torch's files, read without running anything that they name.

A pickle is a program for a machine with a stack. This is a smaller machine: it knows the
instructions that torch writes, builds plain containers, and where a pickle calls a
function by name it calls one of ours or refuses. Work is bounded: a pickle has
a largest number of instructions, and none takes longer than what the pickle spells out.
"""

from __future__ import annotations

import dataclasses
import enum
import pickletools
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO

import jax.numpy as jnp
import numpy as np

_MAX_STEPS = 1_000_000  # Instructions; a network needs about 40 a tensor.
_MAX_AXES = 32
_MAX_SIZE = 1 << 48  # Of an axis; keeps numpy's arithmetic far from its limits.


class Refused(Exception):
    """What a whole, well-formed file holds but is not read."""


class Dtype(enum.Enum):
    """Types of elements, named as safetensors names them."""

    F16 = np.dtype('<f2')
    BF16 = np.dtype(jnp.bfloat16)
    F32 = np.dtype('<f4')
    F64 = np.dtype('<f8')
    I8 = np.dtype('i1')
    I16 = np.dtype('<i2')
    I32 = np.dtype('<i4')
    I64 = np.dtype('<i8')
    U8 = np.dtype('u1')
    BOOL = np.dtype('?')


@dataclasses.dataclass(frozen=True)
class Storage:
    """A run of elements somewhere in the file; tensors may share it."""

    key: str
    dtype: Dtype
    count: int

    @property
    def nbytes(self) -> int:
        return self.count * self.dtype.value.itemsize


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A view of a storage, inside its bounds; all in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def span(self) -> int:
        """Elements of the storage from the first to the last that it reads."""
        if 0 in self.shape:
            return 0
        return 1 + sum(
            (axis - 1) * stride
            for axis, stride in zip(self.shape, self.strides, strict=True)
        )

    def get_shape(self) -> tuple[int, ...]:
        """As the slices of safetensors have it."""
        return self.shape

    def get_dtype(self) -> str:
        """As the slices of safetensors have it."""
        return self.storage.dtype.name


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
        _expect(self.stack[-1], list).extend(items)

    def fill(self, items: Sequence[Any]) -> None:
        pairs = zip(items[::2], items[1::2], strict=True)
        _expect(self.stack[-1], dict).update((_key(k), v) for k, v in pairs)

    def find(self, name: str) -> None:
        if name not in _GLOBALS:
            raise Refused(
                f'a torch file with {short(name.replace(" ", "."))} in it, and only '
                'tensors in dicts and lists are read; save the state dict alone'
            )
        self.push(_GLOBALS[name])

    def call(self, _: Any) -> None:
        arguments = _expect(self.stack.pop(), tuple)
        function = _expect(self.stack.pop(), types.FunctionType)  # Of `_GLOBALS`.
        self.push(function(*arguments))

    def build(self, _: Any) -> None:
        self.stack.pop()  # Attributes of an OrderedDict: versions of torch's modules.
        _expect(self.stack[-1], dict)

    def refer(self, _: Any) -> None:
        kind, dtype, key, _, count, *view = _expect(self.stack.pop(), tuple)
        if kind != 'storage' or any(part is not None for part in view):
            raise Refused('a torch file with more than tensors; save the state dict')
        new = Storage(_expect(key, str), _expect(dtype, Dtype), _natural(count))
        if self.storages.setdefault(key, new) != new:
            raise ValueError('a storage of two sizes')
        self.push(self.storages[key])


def _tensor(storage, offset, shape, strides, *_) -> Tensor:
    """In place of torch's own function: `_` are gradients and hooks."""
    made = Tensor(
        _expect(storage, Storage), _natural(offset), _sizes(shape), _sizes(strides)
    )
    if made.span and made.offset + made.span > made.storage.count:
        raise ValueError('a tensor that reaches beyond its storage')
    return made


def _parameter(data, *_) -> Tensor:
    return _expect(data, Tensor)


def _size(sizes=()) -> tuple[int, ...]:
    return _sizes(sizes)


def _ordered_dict(pairs=None) -> dict[Any, Any]:
    """Python 2 wrote the pairs as an argument, later ones fill it afterwards."""
    if pairs is None:
        return {}
    items = _expect(pairs, list)[:]
    pairs.clear()  # Used a thousand times, a long list would else be a bomb.
    return {_key(key): value for key, value in items}


def _key(key: Any) -> Any:
    """A word or an int64: others may take for ever to hash, or all hash the same."""
    if isinstance(key, str) or (isinstance(key, int) and abs(key) < 1 << 63):
        return key
    raise Refused(f'a torch file with a {type(key).__name__} for a key')


def _sizes(sizes: Any) -> tuple[int, ...]:
    if len(_expect(sizes, tuple)) > _MAX_AXES:
        raise ValueError('too many axes')
    return tuple(map(_natural, sizes))


def _natural(number: Any) -> int:
    if type(number) is not int or not 0 <= number < _MAX_SIZE:
        raise ValueError('not a size')
    return number


def _expect(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f'a {type(value).__name__} for a {kind.__name__}')
    return value


def short(text: str) -> str:
    """One line, whatever the file says."""
    line = repr(text)[1:-1]
    return line if len(line) < 100 else f'{line[:97]}...'


_STORAGES = {'Float': Dtype.F32, 'Double': Dtype.F64, 'Half': Dtype.F16,
             'BFloat16': Dtype.BF16, 'Long': Dtype.I64, 'Int': Dtype.I32,
             'Short': Dtype.I16, 'Char': Dtype.I8, 'Byte': Dtype.U8,
             'Bool': Dtype.BOOL}  # fmt: skip
_GLOBALS: dict[str, Any] = {  # All that a pickle can name.
    'collections OrderedDict': _ordered_dict,
    'torch Size': _size,
    'torch._utils _rebuild_parameter': _parameter,
    'torch._utils _rebuild_tensor': _tensor,  # Until 2018, and so in VGG-16's file.
    'torch._utils _rebuild_tensor_v2': _tensor,
    'torch.storage UntypedStorage': Dtype.U8,
    **{f'torch {name}Storage': dtype for name, dtype in _STORAGES.items()},
    **{f'torch.cuda {name}Storage': dtype for name, dtype in _STORAGES.items()},
}
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
