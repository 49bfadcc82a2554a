"""Torch's files without torch: pickles that name torch's functions, and raw values."""

import io
import pickle
import zipfile

REBUILD = 'torch._utils _rebuild_tensor_v2'
STORAGES = {'float32': 'FloatStorage', 'float64': 'DoubleStorage',
            'float16': 'HalfStorage', 'bfloat16': 'BFloat16Storage',
            'int64': 'LongStorage', 'bool': 'BoolStorage'}  # fmt: skip


class Name:
    """Pickled as the global 'module name', which need not exist here."""

    def __init__(self, name):
        self.name = name

    def __call__(self):  # What `__reduce__` gives must look so.
        raise NotImplementedError


class Call:
    """Pickled as a call of the function with this name."""

    def __init__(self, name, *args):
        self.name, self.args = name, args

    def __reduce__(self):
        return Name(self.name), self.args


class Stored:
    """A storage; pickled by reference, as `count` elements."""

    def __init__(self, array, count=None):
        self.array, self.count = array, array.size if count is None else count


def tensor(stored, shape, strides, offset=0):
    """A view of a storage, in elements."""
    return Call(REBUILD, stored, offset, shape, strides, False, Ordered())


def whole(array):
    """A contiguous array in a storage of its own."""
    strides = tuple(stride // array.itemsize for stride in array.strides)
    return tensor(Stored(array), array.shape, strides)


class Ordered(dict):
    """Pickled as an OrderedDict with an attribute, as state dicts are."""

    def __reduce__(self):
        state = {'_metadata': {'': {'version': 1}}}
        return Name('collections OrderedDict'), (), state, None, iter(self.items())


class _Pickler(pickle._Pickler):
    def __init__(self, file, view):
        super().__init__(file, 2)
        self.stored, self.view = [], view

    def persistent_id(self, item):
        if not isinstance(item, Stored):
            return None
        if item not in self.stored:
            self.stored.append(item)
        kind = Name(f'torch {STORAGES[item.array.dtype.name]}')
        key = str(self.stored.index(item))
        return ('storage', kind, key, 'cpu', item.count, *self.view)

    def save(self, item, save_persistent_id=True):
        if isinstance(item, Name):
            self.write('c{}\n{}\n'.format(*item.name.split()).encode())
        else:
            super().save(item, save_persistent_id)


def pickled(value, view=()):
    """One pickle and the arrays behind it."""
    file = io.BytesIO()
    pickler = _Pickler(file, view)
    pickler.dump(value)
    return file.getvalue(), [item.array for item in pickler.stored]


def legacy(value, little=True):
    """A file as torch wrote them before 1.6."""
    main, arrays = pickled(value, view=(None,))
    parts = [0x1950A86A20F9469CFC6C, 1001, {'little_endian': little}]
    head = [pickled(part)[0] for part in parts]
    keys, _ = pickled([str(i) for i in range(len(arrays))])
    tail = [array.size.to_bytes(8, 'little') + array.tobytes() for array in arrays]
    return b''.join([*head, main, keys, *tail])


def zipped(value, order='little', compression=zipfile.ZIP_STORED):
    """A file as torch writes them since 1.6."""
    main, arrays = pickled(value)
    return archive(main, arrays, order, compression)


def archive(main, arrays=(), order='little', compression=zipfile.ZIP_STORED):
    """The same around a pickle's bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', compression) as out:
        out.writestr('archive/data.pkl', main)
        out.writestr('archive/byteorder', order)
        for i, array in enumerate(arrays):
            out.writestr(f'archive/data/{i}', array.tobytes())
    return file.getvalue()


FORMATS = {'legacy': legacy, 'zip': zipped}
