"""Lanes: what a vmap over whole programs maps over, such as the seeds of a sweep."""

import jax
import jax.numpy as jnp


@jax.custom_batching.custom_vmap
def lanes_max(x: jax.Array) -> jax.Array:
    """The largest value of x, or `any` of a bool, over all vmapped axes; the result is not batched.

    Outside of vmap it is x. If the predicate of a loop or branch is batched, XLA computes both outcomes and selects
    from all that the loop carries. The maximum over the lanes is one scalar, so that the loop stays a loop.
    """
    return x


@lanes_max.def_vmap
def _lanes_max_vmap(axis_size: int, in_batched: list[bool], x: jax.Array) -> tuple[jax.Array, bool]:
    del axis_size
    return lanes_max(jnp.max(x, axis=0) if in_batched[0] else x), False
