"""What stands for torch's objects when its files are read: nothing of torch's runs.

`GLOBALS` are the names that a pickle may use and what they mean here; whatever is given
to the functions is checked, for anybody can have written it.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

import jax.numpy as jnp
import numpy as np

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


def _tensor(storage, offset, shape, strides, *_) -> Tensor:
    """In place of torch's own function: `_` are gradients and hooks."""
    made = Tensor(
        expect(storage, Storage), natural(offset), _sizes(shape), _sizes(strides)
    )
    if made.span and made.offset + made.span > made.storage.count:
        raise ValueError('a tensor that reaches beyond its storage')
    return made


def _parameter(data, *_) -> Tensor:
    return expect(data, Tensor)


def _size(sizes=()) -> tuple[int, ...]:
    return _sizes(sizes)


def _ordered_dict(pairs=None) -> dict[Any, Any]:
    """Python 2 wrote the pairs as an argument, later ones fill it afterwards."""
    if pairs is None:
        return {}
    items = expect(pairs, list)[:]
    pairs.clear()  # Used a thousand times, a long list would else be a bomb.
    return {checked_key(key): value for key, value in items}


def checked_key(key: Any) -> Any:
    """A word or an int64: others may take for ever to hash, or all hash the same."""
    if isinstance(key, str) or (isinstance(key, int) and abs(key) < 1 << 63):
        return key
    raise Refused(f'a torch file with a {type(key).__name__} for a key')


def _sizes(sizes: Any) -> tuple[int, ...]:
    if len(expect(sizes, tuple)) > _MAX_AXES:
        raise ValueError('too many axes')
    return tuple(map(natural, sizes))


def natural(number: Any) -> int:
    if type(number) is not int or not 0 <= number < _MAX_SIZE:
        raise ValueError('not a size')
    return number


def expect(value: Any, kind: type) -> Any:
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
GLOBALS: dict[str, Any] = {  # All that a pickle can name.
    'collections OrderedDict': _ordered_dict,
    'torch Size': _size,
    'torch._utils _rebuild_parameter': _parameter,
    'torch._utils _rebuild_tensor': _tensor,  # Until 2018, and so in VGG-16's file.
    'torch._utils _rebuild_tensor_v2': _tensor,
    'torch.storage UntypedStorage': Dtype.U8,
    **{f'torch {name}Storage': dtype for name, dtype in _STORAGES.items()},
    **{f'torch.cuda {name}Storage': dtype for name, dtype in _STORAGES.items()},
}
