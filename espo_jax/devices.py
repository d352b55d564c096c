"""One run over several devices: each has a share of the environments, and sums over samples are sums across devices.

XLA splits a program of `parallel.over_devices`: each array with an axis of environments is split along that axis, and
every result is that of one device to rounding. Two things are written by hand, because XLA would exchange much more for
them: the loop of the rollout, in which no device needs another one (`by_device`), and sums over samples
(`sum_by_device`).
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")
_AXIS = "envs"


def by_device(fn: Callable[..., Tree], in_axes: Any, out_axes: Any) -> Callable[..., Tree]:
    """The function that each device calls with its own environments. On one device it is the function itself.

    Args:
      fn: the function. Values that are not among its arguments are the same on all devices.
      in_axes: for each argument the axis of the environments, as for `jax.vmap`; None for what all devices share.
      out_axes: the axis of the environments in the results; None for what is the same on all devices.
    """
    if not are_several():
        return fn
    return jax.shard_map(fn, in_specs=_specs(in_axes), out_specs=_specs(out_axes), check_vma=False)


def sum_by_device(fn: Callable[[Any], Tree], data: Any) -> Tree:
    """fn(data), where each device calls fn with its own environments and the results are summed.

    Args:
      fn: sums over the samples of arrays.
      data: arrays [T, N, ...].
    """
    if not are_several():
        return fn(data)
    return by_device(lambda part: jax.lax.psum(fn(part), _AXIS), (1,), None)(data)


def split(tree: Tree) -> Tree:
    """Split the first axis of arrays that all devices have, such as a minibatch, so that each works on its share."""
    if not are_several():
        return tree
    return jax.lax.with_sharding_constraint(tree, PartitionSpec(_AXIS))


def first_devices(count: int) -> list[Any]:
    """The first devices of this machine.

    Raises:
      ValueError: there are not so many.
    """
    found = jax.local_devices()
    if count > len(found):
        hint = f"; JAX_NUM_CPU_DEVICES={count} makes so many of a CPU" if found[0].platform == "cpu" else ""
        raise ValueError(f"devices is {count}: this machine has {len(found)} ({found[0].platform}){hint}")
    return found[:count]


def mesh_of(devices: Sequence[Any]) -> Mesh:
    """The devices of a run as a mesh."""
    return Mesh(list(devices), _AXIS)


def traced_for(mesh: Mesh) -> Any:
    """A context in which programs are traced for the devices of a mesh."""
    return jax.sharding.use_abstract_mesh(mesh.abstract_mesh)


def sharding(mesh: Mesh, axis: int | None = None) -> NamedSharding:
    """How an array lies on the devices of a mesh, by its axis of environments; None for what all devices have."""
    return NamedSharding(mesh, _spec(axis))


def are_several() -> bool:
    """Whether the program that is traced will be split between devices by XLA; False within `by_device`."""
    mesh = jax.sharding.get_abstract_mesh()
    return _AXIS in mesh.auto_axes


def _specs(axes: Any) -> Any:
    return jax.tree.map(_spec, axes, is_leaf=lambda axis: axis is None)


def _spec(axis: int | None) -> PartitionSpec:
    return PartitionSpec() if axis is None else PartitionSpec(*[None] * axis, _AXIS)
