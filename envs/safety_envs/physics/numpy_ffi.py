"""NumPy functions as calls of XLA's foreign function interface on a CPU, found by a number at run time.

A program with one of JAX's own callbacks holds the address of a Python function, so JAX's compilation cache on the
disk leaves it out. Here a program holds a name and a number only: it is cached, and the process that loads it has
registered the function of that number when it traced the program.

The structures are those of xla/ffi/api/c_api.h, which `jax.ffi.include_dir()` has.
"""

import ctypes
import functools
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import numpy as np

TARGET = "safety_envs_numpy_call"
_MAJOR, _MINOR = 0, 1  # version of the interface, of which only its oldest part is used
_EXECUTE, _METADATA, _INTERNAL_ERROR = 3, 1, 13
_TYPES = {1: np.bool_, 2: np.int8, 4: np.int32, 5: np.int64, 6: np.uint8, 8: np.uint32, 9: np.uint64}
_TYPES |= {10: np.float16, 11: np.float32, 12: np.float64}

_size, _pointer, _int, _int64, _at = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.POINTER
_BASE: list[Any] = [("struct_size", _size), ("extension", _pointer)]

NumpyFn = Callable[..., tuple[np.ndarray, ...]]
# They stay: a program may run on when everything that refers to it is gone.
_functions: dict[int, NumpyFn] = {}


class _Buffer(ctypes.Structure):
    _fields_: ClassVar = [
        *_BASE,
        ("dtype", _int),
        ("data", _pointer),
        ("rank", _int64),
        ("dims", _at(_int64)),
    ]


class _Buffers(ctypes.Structure):  # XLA_FFI_Args and XLA_FFI_Rets
    _fields_: ClassVar = [
        *_BASE,
        ("size", _int64),
        ("types", _pointer),
        ("each", _at(_at(_Buffer))),
    ]


class _Scalar(ctypes.Structure):
    _fields_: ClassVar = [("dtype", _int), ("value", _at(_int64))]


class _Attributes(ctypes.Structure):
    _fields_: ClassVar = [
        *_BASE,
        ("size", _int64),
        ("types", _pointer),
        ("names", _pointer),
        ("each", _at(_at(_Scalar))),
    ]


class _Frame(ctypes.Structure):  # XLA_FFI_CallFrame
    _fields_: ClassVar = [
        *_BASE,
        ("api", _pointer),
        ("context", _pointer),
        ("stage", _int),
        ("args", _Buffers),
        ("results", _Buffers),
        ("attributes", _Attributes),
    ]


class _Version(ctypes.Structure):
    _fields_: ClassVar = [*_BASE, ("major", _int), ("minor", _int)]


class _Metadata(ctypes.Structure):
    _fields_: ClassVar = [("struct_size", _size), ("version", _Version), ("traits", ctypes.c_uint32)]


class _Extension(ctypes.Structure):  # XLA_FFI_Metadata_Extension
    _fields_: ClassVar = [
        ("struct_size", _size),
        ("type", _int),
        ("next", _pointer),
        ("metadata", _at(_Metadata)),
    ]


class _Error(ctypes.Structure):  # XLA_FFI_Error_Create_Args
    _fields_: ClassVar = [*_BASE, ("message", ctypes.c_char_p), ("code", _int)]


class _Api(ctypes.Structure):
    _fields_: ClassVar = [*_BASE, ("version", _Version), ("internal", _pointer), ("create_error", _pointer)]


_CreateError = ctypes.CFUNCTYPE(_pointer, _at(_Error))


def register(number: int, fn: NumpyFn) -> None:
    """Give a function a number for the life of the process; the first one that has it serves all.

    Args:
      number: a number in [0, 2^63), the same in every process for functions that do the same.
      fn: takes NumPy arrays, which it may read during the call only, and returns one for each result.
    """
    _target()
    _functions.setdefault(number, fn)


@functools.cache
def effects() -> frozenset:
    """JAX's effect of a foreign call, for a primitive that makes one: JAX then waits for its programs at the exit.

    A program that runs on while Python ends would call what is there no longer.
    """
    call = jax.ffi.ffi_call(TARGET, (), has_side_effect=True)
    return frozenset(jax.make_jaxpr(lambda: call(number=np.int64(0)))().effects)


@functools.cache
def _target() -> Any:
    """Make the handler known to XLA, once in a process."""
    jax.ffi.register_ffi_target(TARGET, jax.ffi.pycapsule(ctypes.cast(_handler, _pointer).value), platform="cpu")


@functools.lru_cache(maxsize=1024)
def _bytes(count: int) -> Any:
    return ctypes.c_char * count


def _array(buffer: _Buffer) -> np.ndarray:
    """A view of the memory of a buffer."""
    dtype = np.dtype(_TYPES[buffer.dtype])
    shape = buffer.dims[: buffer.rank]
    count = dtype.itemsize
    for size in shape:
        count *= size
    if not count:
        return np.empty(shape, dtype)
    return np.frombuffer(_bytes(count).from_address(buffer.data), dtype).reshape(shape)


def _call(frame: Any) -> None:
    function = _functions[frame.attributes.each[0].contents.value[0]]
    args = [_array(frame.args.each[i].contents) for i in range(frame.args.size)]
    results = function(*args)
    places = [_array(frame.results.each[i].contents) for i in range(frame.results.size)]
    for place, result in zip(places, results, strict=True):
        if place.shape != result.shape:
            raise ValueError(f"a result has shape {result.shape}; it must be {place.shape}")
        place[...] = result


@ctypes.CFUNCTYPE(_pointer, _at(_Frame))
def _handler(pointer: Any) -> int | None:
    """What XLA calls; returns null, or an error that ends the program."""
    frame = pointer.contents
    if frame.extension:
        extension = ctypes.cast(frame.extension, _at(_Extension)).contents
        if extension.type == _METADATA:
            version = extension.metadata.contents.version
            version.major, version.minor = _MAJOR, _MINOR
            return None
    if frame.stage != _EXECUTE:
        return None
    try:
        _call(frame)
    except BaseException as error:  # an exception cannot pass through XLA
        api = ctypes.cast(frame.api, _at(_Api)).contents
        text = f"{type(error).__name__}: {error}".encode()
        given = _Error(ctypes.sizeof(_Error), None, text, _INTERNAL_ERROR)
        return _CreateError(api.create_error)(ctypes.byref(given))
    return None
