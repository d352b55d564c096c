"""Functions of many worlds at once as functions of one world that can be vmapped, nested too.

MuJoCo Warp steps all worlds together and shares its contact buffers among them. So its caller must know the number of
worlds, which no function under `jax.vmap` does. Here the rule of vmap counts it.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

# (number of worlds W, for each leaf whether it has the leading axis W, leaves) -> results, each [W, ...]
WorldsFn = Callable[[int, tuple[bool, ...], list[jax.Array]], Any]


def one_world(function: WorldsFn) -> Callable[..., Any]:
    """A function of one world's leaves that calls `function` once for the worlds of all vmaps around it.

    Nested vmaps, such as seeds x environments, multiply: W is the product of their sizes. A leaf over which a vmap
    does not map stays without the axis W, as the model's usually do.

    Args:
      function: takes W, which leaves are [W, ...], and the leaves; returns a pytree of [W, ...].

    Returns:
      A function (*leaves) -> pytree of one world, without the axis W.
    """

    def single(*leaves: jax.Array) -> Any:
        results = _all_worlds(function, 1, (False,) * len(leaves))(*leaves)
        return jax.tree.map(lambda x: x[0], results)

    return single


def _all_worlds(function: WorldsFn, count: int, mapped: tuple[bool, ...]) -> Callable[..., Any]:
    @jax.custom_batching.custom_vmap
    def call(*leaves: jax.Array) -> Any:
        return function(count, mapped, list(leaves))

    @call.def_vmap
    def rule(axis_size: int, in_batched: list[bool], *leaves: jax.Array) -> tuple[Any, Any]:
        spread = [_flat(axis_size, count, *each) for each in zip(in_batched, mapped, leaves, strict=True)]
        now_mapped = tuple(a or b for a, b in zip(in_batched, mapped, strict=True))
        results = _all_worlds(function, axis_size * count, now_mapped)(*spread)
        results = jax.tree.map(lambda x: x.reshape(axis_size, count, *x.shape[1:]), results)
        return results, jax.tree.map(lambda _: True, results)

    return call


def _flat(axis_size: int, count: int, batched: bool, mapped: bool, leaf: jax.Array) -> jax.Array:
    """[B, W, ...] as [B W, ...], the axes that a leaf lacks repeated; unchanged if it has neither."""
    if not batched and not mapped:
        return leaf
    if not batched:
        leaf = leaf[None]
    if not mapped:
        leaf = leaf[:, None]
    rest = leaf.shape[2:]
    return jnp.broadcast_to(leaf, (axis_size, count, *rest)).reshape(axis_size * count, *rest)
