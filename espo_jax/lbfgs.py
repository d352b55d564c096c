"""L-BFGS for several fits at once: optax's directions with an Armijo backtracking line search."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from safety_envs.lanes import lanes_max

from espo_jax.linalg import dot

LossFn = Callable[[jax.Array], tuple[jax.Array, jax.Array]]  # params [M, P] -> (loss [M], gradient [M, P])

_OPTIMIZER = optax.scale_by_lbfgs(memory_size=10)


class _Fit(NamedTuple):
    """M fits under way, each at an iteration and a halving of its own; leading axis M throughout."""

    active: jax.Array
    iteration: jax.Array
    halvings: jax.Array
    size: jax.Array
    params: jax.Array
    loss: jax.Array
    gradient: jax.Array
    update: jax.Array
    memory: Any


def fit_lbfgs(
    loss_fn: LossFn,
    params: jax.Array,
    *,
    num_iterations: int,
    max_halvings: int = 10,
    sufficient_decrease: float = 1e-4,
) -> tuple[jax.Array, jax.Array]:
    """Minimise M losses at once by L-BFGS (optax) with an Armijo backtracking line search.

    optax's own line searches branch on the data. Vmapped over critics and seeds, each branch would run for all of them.
    Here every turn of the loop costs exactly one loss and gradient. Each fit goes on to its next iteration when its own
    step is accepted, so the time is that of the slowest fit, and not the sum of the slowest of every iteration. A
    direction that does not descend (bad curvature pairs) restarts from steepest descent. A fit ends after
    num_iterations, when a step lowers the loss by no more than float rounding, or when no halving of a step lowers it.

    Args:
      loss_fn: params [M, P] -> (loss [M], gradient [M, P]), the losses independent of each other.
      params: [M, P] start.
      num_iterations: largest number of L-BFGS iterations.
      max_halvings: number of trial steps 1, 1/2, ... of an iteration.
      sufficient_decrease: Armijo's constant.

    Returns:
      params [M, P] and their losses [M].

    Reference: Nocedal & Wright 2006, algorithms 3.1 and 7.5.
    """
    fresh = jax.vmap(_OPTIMIZER.init)(params)
    loss, gradient = loss_fn(params)
    update, memory = _direction(params, gradient, fresh)
    zeros = jnp.zeros(loss.shape, jnp.int32)
    active = (dot(gradient, update) > 0) & (num_iterations > 0)
    start = _Fit(active, zeros, zeros, jnp.ones_like(loss), params, loss, gradient, update, memory)
    with jax.named_scope("trials"):
        end = jax.lax.while_loop(
            lambda fit: lanes_max(fit.active.any()),
            lambda fit: _trial(fit, loss_fn, num_iterations, max_halvings, sufficient_decrease),
            start,
        )
    return end.params, end.loss


def _trial(fit: _Fit, loss_fn: LossFn, num_iterations: int, max_halvings: int, sufficient_decrease: float) -> _Fit:
    """Try one point of every fit: if it is accepted the next iteration begins, else the step is halved."""
    slope = -dot(fit.gradient, fit.update)
    candidate = fit.params - fit.size[:, None] * fit.update
    loss, gradient = loss_fn(candidate)
    good = fit.active & (loss <= fit.loss + sufficient_decrease * fit.size * slope)
    lowered = fit.loss - loss > jnp.finfo(loss.dtype).eps * jnp.abs(fit.loss)
    params, loss, gradient = _select(good, (candidate, loss, gradient), (fit.params, fit.loss, fit.gradient))
    following = _direction(params, gradient, fit.memory)
    update, memory = _select(good, following, (fit.update, fit.memory))
    iteration = fit.iteration + good
    halvings = jnp.where(good, 0, fit.halvings + 1)
    # At a stationary point, or where nothing is finite, there is no descent to look for.
    going_on = jnp.where(good, lowered & (iteration < num_iterations), halvings < max_halvings)
    active = fit.active & going_on & (dot(gradient, update) > 0)
    size = 0.5 ** halvings.astype(loss.dtype)
    return _Fit(active, iteration, halvings, size, params, loss, gradient, update, memory)


def _direction(params: jax.Array, gradient: jax.Array, memory: Any) -> tuple[jax.Array, Any]:
    """The next direction, to be subtracted. If the one from memory does not descend, it is steepest descent.

    Steepest descent is what optax's update gives for an empty memory, as long as 1 at most.
    """
    update, memory = jax.vmap(_OPTIMIZER.update)(gradient, memory, params)
    steepest = gradient * jnp.minimum(1.0, 1.0 / jnp.linalg.norm(gradient, axis=-1, keepdims=True))
    empty = jax.tree.map(jnp.zeros_like, memory)
    restarted = empty._replace(count=empty.count + 1, params=params, updates=gradient)
    return _select(dot(gradient, update) > 0, (update, memory), (steepest, restarted))


def _select(keep: jax.Array, new: Any, old: Any) -> Any:
    """Take `new` for the fits [M] where keep holds, else `old`."""
    return jax.vmap(lambda k, n, o: jax.tree.map(lambda n, o: jnp.where(k, n, o), n, o))(keep, new, old)
