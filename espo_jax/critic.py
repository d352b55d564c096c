"""Critics: value networks of reward and costs, stacked, and their fits (L-BFGS, or Adam on minibatches)."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from espo_jax import minibatch
from espo_jax.blocks import Blocks
from espo_jax.lbfgs import fit_lbfgs
from espo_jax.linalg import dot
from espo_jax.policy import MLP


class Critic(MLP):
    """Value network: observation [..., O] to value [..., 1]. Several critics share it, with stacked parameters."""

    hidden_sizes: Sequence[int] = (64, 64)
    output_size: int = 1


def squared_error(
    apply_fn: Callable[[jax.Array, jax.Array], jax.Array],
    params: jax.Array,
    observation: jax.Array,
    target: jax.Array,
    mask: jax.Array,
) -> jax.Array:
    """Sum over the samples of (V(s) - target)^2 where mask holds: [].

    Args:
      apply_fn: (flat params [P], observation [..., O]) to values [...].
      params: [P] parameters of one critic.
      observation: [..., O] observations.
      target: [...] targets, advantage + value.
      mask: [...] bool.
    """
    return jnp.sum(jnp.where(mask, jnp.square(apply_fn(params, observation) - target), 0.0))


def loss_and_gradient(
    apply_fn: Callable[[jax.Array, jax.Array], jax.Array],
    params: jax.Array,
    observation: jax.Array,
    target: jax.Array,
    mask: jax.Array,
    blocks: Blocks,
    *,
    l2: jax.Array | float,
) -> tuple[jax.Array, jax.Array]:
    """Mean squared error plus l2 |params|^2 of M critics, and its gradient: [M], [M, P].

    Args:
      apply_fn: (flat params [P], observation) to values.
      params: [M, P] parameters of the M critics.
      observation: [T, N, O] observations.
      target: [T, N, M] targets of the M critics.
      mask: [T, N] bool, the samples in use.
      blocks: the part of [T] in use.
      l2: weight of the squared parameters.
    """

    def block_fn(block: tuple) -> tuple[jax.Array, jax.Array]:
        observation, target, mask = block

        def one(p: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
            return jax.value_and_grad(lambda p: squared_error(apply_fn, p, observation, y, mask))(p)

        def one_by_one(params: jax.Array, target: jax.Array) -> tuple[jax.Array, jax.Array]:
            each = [one(p, target[..., i]) for i, p in enumerate(params)]
            losses, gradients = zip(*each, strict=True)
            return jnp.stack(losses), jnp.stack(gradients)

        # A CPU is faster with matrix products than with batched ones; elsewhere fewer kernels count.
        return jax.lax.platform_dependent(params, target, cpu=one_by_one, default=jax.vmap(one, in_axes=(0, -1)))

    loss, gradient = blocks.sum(block_fn, (observation, target, mask))
    count = jnp.maximum(jnp.sum(mask), 1)
    return loss / count + l2 * dot(params, params), gradient / count + 2 * l2 * params


def fit_adam(
    apply_fn: Callable[[jax.Array, jax.Array], jax.Array],
    params: jax.Array,
    optimizer: optax.GradientTransformation,
    optimizer_state: optax.OptState,
    key: jax.Array,
    observation: jax.Array,
    target: jax.Array,
    mask: jax.Array,
    *,
    l2: jax.Array | float,
    num_passes: int,
    minibatch_size: int,
) -> tuple[jax.Array, optax.OptState, jax.Array]:
    """Fit M critics by minibatch gradient descent; every pass visits each sample in use once, in random order.

    Args:
      apply_fn: (flat params [P], observation) to values.
      params: [M, P] parameters of the M critics.
      optimizer: optimiser of one critic.
      optimizer_state: its state, vmapped over M.
      key: key for the order of the samples.
      observation: [T, N, O] observations.
      target: [T, N, M] targets of the M critics.
      mask: [T, N] bool, the samples in use.
      l2: weight of the squared parameters.
      num_passes: number of passes over the samples in use.
      minibatch_size: samples of a minibatch; the last one of a pass may hold fewer.

    Returns:
      params [M, P], optimizer_state, mean loss of the last pass [M].
    """

    def fit_minibatch(carry: tuple, samples: tuple, real: jax.Array) -> tuple:
        params, state, total = carry
        observation, target = samples
        size = jnp.sum(real)

        def one(p: jax.Array, s: Any, y: jax.Array) -> tuple:
            def loss_fn(p: jax.Array) -> jax.Array:
                error = squared_error(apply_fn, p, observation, y, real)
                return error / jnp.maximum(size, 1) + l2 * dot(p, p)

            loss, gradient = jax.value_and_grad(loss_fn)(p)
            updates, s = optimizer.update(gradient, s, p)
            return optax.apply_updates(p, updates), s, loss * size

        params, state, loss = jax.vmap(one, in_axes=(0, 0, -1))(params, state, target)
        return params, state, total + loss

    zeros = jnp.zeros(params.shape[0], params.dtype)
    (params, optimizer_state, total), _ = minibatch.passes(
        fit_minibatch, (params, optimizer_state, zeros), key, (observation, target), mask,
        num_passes=num_passes, minibatch_size=minibatch_size, begin_fn=lambda carry: (*carry[:2], zeros),
    )  # fmt: skip
    return params, optimizer_state, total / jnp.maximum(jnp.sum(mask), 1)


class CriticSettings(NamedTuple):
    """Settings of the fits; each optimiser uses some of them.

    Args:
      l2: weight of the squared parameters.
      learning_rate: learning rate (adam).
      max_gradient_norm: gradients are clipped to this norm (adam).
      num_passes: passes over the samples (adam).
      minibatch_size: samples of a minibatch (adam).
      lbfgs_iterations: iterations of each fit (lbfgs).
    """

    l2: jax.Array | float
    learning_rate: jax.Array | float
    max_gradient_norm: float
    num_passes: int
    minibatch_size: int
    lbfgs_iterations: int


class Samples(NamedTuple):
    """The samples that critics are fitted to.

    Args:
      observation: [T, N, O] observations.
      target: [T, N, M] targets of the M critics.
      mask: [T, N] bool.
      blocks: the part of [T] in use.
    """

    observation: jax.Array
    target: jax.Array
    mask: jax.Array
    blocks: Blocks


class CriticOptimizer(NamedTuple):
    """How critics are fitted.

    Args:
      init: (params [M, P], CriticSettings) -> state kept between iterations.
      fit: (network function, params [M, P], state, key, Samples, CriticSettings) -> params, state, losses [M].
    """

    init: Callable[[jax.Array, CriticSettings], Any]
    fit: Callable[..., tuple[jax.Array, Any, jax.Array]]


def _adam(settings: CriticSettings) -> optax.GradientTransformation:
    return minibatch.adam(settings.learning_rate, settings.max_gradient_norm)


def _lbfgs_fit(apply_fn, params, state, key, samples: Samples, settings: CriticSettings) -> tuple:
    del key

    def loss_fn(params: jax.Array) -> tuple[jax.Array, jax.Array]:
        return loss_and_gradient(apply_fn, params, *samples, l2=settings.l2)

    params, loss = fit_lbfgs(loss_fn, params, num_iterations=settings.lbfgs_iterations)
    return params, state, loss


def _adam_fit(apply_fn, params, state, key, samples: Samples, settings: CriticSettings) -> tuple:
    return fit_adam(
        apply_fn, params, _adam(settings), state, key, samples.observation, samples.target, samples.mask,
        l2=settings.l2, num_passes=settings.num_passes, minibatch_size=settings.minibatch_size,
    )  # fmt: skip


OPTIMIZERS = {
    # L-BFGS has no state: it starts again in each iteration.
    "lbfgs": CriticOptimizer(init=lambda params, settings: jax.vmap(optax.identity().init)(params), fit=_lbfgs_fit),
    "adam": CriticOptimizer(init=lambda params, settings: jax.vmap(_adam(settings).init)(params), fit=_adam_fit),
}
