"""Calls a NumPy function from inside a jitted program, without making JAX arrays on the way.

`jax.pure_callback` hands the function JAX arrays: it takes ten times as long (0.1 ms against 0.01 ms) and, where the
arrays are large and the process sees one CPU only, may wait for a transfer that needs the thread it waits on.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from safety_envs.physics import numpy_ffi

_LARGEST_ARGUMENT = 100_000  # bytes; JAX copies what is smaller at once

NumpyFn = Callable[..., tuple[np.ndarray, ...]]

_host_call_p = Primitive("host_call")
_host_call_p.multiple_results = True


def host_call(fn: NumpyFn, results: Sequence[jax.ShapeDtypeStruct], *args: jax.Array) -> list[jax.Array]:
    """Calls `fn` on the host; works under jit, vmap, scan and while loops.

    Under vmap all arguments and results get the mapped axis in front, and the function is called once.

    Args:
      fn: a pure function of NumPy arrays, which it may read during the call only. Must not call JAX.
      results: shape and type of each result.
      *args: arrays.

    Returns:
      The results as JAX arrays.
    """
    return _host_call_p.bind(*args, fn=fn, results=tuple((tuple(r.shape), np.dtype(r.dtype)) for r in results))


@_host_call_p.def_impl
def _impl(*args, fn, results):
    return _compiled(fn, results)(*args)


@functools.lru_cache(maxsize=128)
def _compiled(fn, results):
    return jax.jit(functools.partial(_host_call_p.bind, fn=fn, results=results))


@_host_call_p.def_effectful_abstract_eval
def _abstract_eval(*args, fn, results):
    del args, fn
    return [jax.core.ShapedArray(shape, dtype) for shape, dtype in results], numpy_ffi.effects()


def _batch(args, axes, *, fn, results):
    size = next(arg.shape[axis] for arg, axis in zip(args, axes, strict=True) if axis is not None)
    args = [
        jnp.broadcast_to(arg, (size, *arg.shape)) if axis is None else jnp.moveaxis(arg, axis, 0)
        for arg, axis in zip(args, axes, strict=True)
    ]
    results = tuple(((size, *shape), dtype) for shape, dtype in results)
    return _host_call_p.bind(*args, fn=fn, results=results), [0] * len(results)


batching.primitive_batchers[_host_call_p] = _batch


def _pure_callback(*args, fn, results):
    shapes = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in results]
    return jax.pure_callback(lambda *xs: fn(*map(np.asarray, xs)), shapes, *args)


def _refuse_deadlock(ctx) -> None:
    """On several CPU devices `jax.pure_callback` of large arrays waits for a transfer that waits for it."""
    largest = max((aval.size * aval.dtype.itemsize for aval in ctx.avals_in), default=0)
    if "cpu" in ctx.module_context.platforms and largest > _LARGEST_ARGUMENT:
        raise ValueError(
            f"a batch of {largest:,} bytes for a function on the host would deadlock on several CPU devices of one "
            f"process, where at most {_LARGEST_ARGUMENT:,} are possible; use fewer environments, or one device"
        )


def _lower(ctx, *args, fn, results):
    module = ctx.module_context
    single = getattr(module.axis_context, "num_devices", None) in (None, 1)
    if single and tuple(module.platforms) == ("cpu",) and isinstance(fn, HostFunction):
        numpy_ffi.register(fn.number, fn)
        return jax.ffi.ffi_lowering(numpy_ffi.TARGET)(ctx, *args, number=np.int64(fn.number))
    if not single or tuple(module.platforms) not in (("cpu",), ("cuda",)):
        _refuse_deadlock(ctx)
        # How several devices or a TPU share a callback is for JAX to say.
        return mlir.lower_fun(functools.partial(_pure_callback, fn=fn, results=results), multiple_results=True)(
            ctx, *args
        )
    outputs, _, _ = mlir.emit_python_callback(
        ctx, fn, None, list(args), ctx.avals_in, ctx.avals_out, has_side_effect=False, returns_token=False
    )
    return outputs


mlir.register_lowering(_host_call_p, _lower, cacheable=False)


@dataclasses.dataclass(frozen=True)
class HostFunction:
    """The method `host_<name>` of an object, called with the values of named fields in a dictionary at the end.

    Two with the same object, name and fields are equal, so that JAX compiles each once.

    Attributes:
      owner: the object; its `identity`, bytes, is the same in every process for objects that compute the same.
      name: name of the method without its prefix.
      fields: names of the last arguments.
    """

    owner: Any
    name: str
    fields: tuple[str, ...]

    @property
    def number(self) -> int:
        """The number by which a compiled program finds it, in other processes too: in [0, 2^63)."""
        text = self.owner.identity + repr((self.name, self.fields)).encode()
        return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1

    def __call__(self, *args: np.ndarray) -> tuple[np.ndarray, ...]:
        """Call the method; args are its own arguments, then one for each field."""
        count = len(args) - len(self.fields)
        fields = dict(zip(self.fields, args[count:], strict=True))
        return getattr(self.owner, f"host_{self.name}")(*args[:count], fields)
