"""Gradient descent on minibatches of the samples in use, in a program that serves every number of samples."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax
from safety_envs.lanes import lanes_max

from espo_jax import devices
from espo_jax.blocks import select_running

Carry = TypeVar("Carry")


def adam(learning_rate: jax.Array | float, max_gradient_norm: float) -> optax.GradientTransformation:
    """Adam on gradients clipped to a global norm; the learning rate may be traced."""
    return optax.chain(optax.clip_by_global_norm(max_gradient_norm), optax.adam(learning_rate))


def passes(
    step_fn: Callable[[Carry, Any, jax.Array], Carry],
    carry: Carry,
    key: jax.Array,
    data: Any,
    mask: jax.Array,
    *,
    num_passes: int,
    minibatch_size: int,
    begin_fn: Callable[[Carry], Carry] = lambda carry: carry,
    stop_fn: Callable[[Carry], jax.Array] | None = None,
    needed: jax.Array | bool = True,
) -> tuple[Carry, jax.Array]:
    """Visit each sample in use once per pass, in random order, in minibatches.

    Args:
      step_fn: (carry, minibatch, real [B] bool) -> carry; the last minibatch of a pass may not be full.
      carry: whatever changes, such as parameters and optimiser state.
      key: key for the order of the samples.
      data: pytree of arrays [T, N, ...].
      mask: [T, N] bool, the samples in use.
      num_passes: largest number of passes.
      minibatch_size: B, number of samples of a minibatch.
      begin_fn: carry -> carry, called before every pass.
      stop_fn: carry -> [] bool, called after a pass: whether it was the last one.
      needed: [] bool, whether there is any pass at all.

    Returns:
      carry, and the number of passes made: [] int32.
    """
    used = mask.reshape(-1)
    data = jax.tree.map(lambda x: x.reshape(used.size, *x.shape[mask.ndim :]), data)
    count = jnp.sum(used)
    num_minibatches = lanes_max((count + minibatch_size - 1) // minibatch_size)

    def unfinished(state: tuple) -> jax.Array:
        return (state[0] < num_passes) & (lanes_max(state[1]))

    def one_pass(state: tuple) -> tuple:
        index, running, done, carry = state
        noise = jax.random.uniform(jax.random.fold_in(key, index), used.shape)
        # Unused samples sort last, so the first `count` entries are a permutation of those in use.
        order = jnp.pad(jnp.argsort(jnp.where(used, noise, 2.0)), (0, minibatch_size))

        def minibatch(i: jax.Array, carry: Carry) -> Carry:
            rows = jax.lax.dynamic_slice_in_dim(order, i * minibatch_size, minibatch_size)
            real = i * minibatch_size + jnp.arange(minibatch_size) < count
            new = step_fn(carry, devices.split(jax.tree.map(lambda x: x[rows], data)), real)
            # A lane that has run out of samples must not move on its momentum.
            return jax.tree.map(lambda n, o: jnp.where(i * minibatch_size < count, n, o), new, carry)

        new = jax.named_scope("minibatches")(jax.lax.fori_loop)(0, num_minibatches, minibatch, begin_fn(carry))
        carry = select_running(running, new, carry)
        going_on = running if stop_fn is None else running & ~stop_fn(carry)
        return index + 1, going_on, done + running, carry

    start = (jnp.int32(0), jnp.asarray(needed), jnp.int32(0), carry)
    *_, done, carry = jax.named_scope("passes")(jax.lax.while_loop)(unfinished, one_pass, start)
    return carry, done
