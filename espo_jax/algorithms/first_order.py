"""What PPO-Lagrangian and CUP share: descents on minibatches, with Lagrange multipliers."""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from espo_jax import minibatch, multiplier, policy
from espo_jax.algorithms.natural_steps import compare, natural_directions
from espo_jax.algorithms.types import Batch, Problem, Update
from espo_jax.config import Config
from espo_jax.hyperparams import Hyperparams
from espo_jax.multiplier import Multiplier
from espo_jax.networks import Networks

# (new distribution of B samples, their Batch) -> loss [], summed.
LossFn = Callable[[policy.Gaussian, Batch], jax.Array]


@flax.struct.dataclass
class FirstOrderState:
    """State of an update rule that descends on minibatches.

    Attributes:
      optimizer_state: state of the policy's Adam.
      multiplier: Lagrange multipliers with their optimiser's state.
    """

    optimizer_state: Any
    multiplier: Multiplier


def policy_optimizer(config: Config, learning_rate: jax.Array) -> optax.GradientTransformation:
    """The optimiser of the policy: Adam on clipped gradients."""
    return minibatch.adam(learning_rate, config.policy_max_gradient_norm)


def policy_learning_rate(problem: Problem) -> jax.Array:
    """The learning rate of this iteration: []. Annealed, it is the first one times 1 - t / T after t iterations."""
    hp = problem.hyperparams
    left = jnp.maximum(1 - problem.iteration / hp.num_iterations, 0)
    return hp.policy_learning_rate * jnp.where(hp.anneal_policy_learning_rate > 0, left, 1)


def multiplier_optimizer(config: Config, hyperparams: Hyperparams) -> optax.GradientTransformation:
    """The optimiser of the multipliers."""
    return multiplier.optimizer(config.multiplier_optimizer, hyperparams.multiplier_learning_rate)


def init_first_order(
    networks: Networks, params: jax.Array, config: Config, hyperparams: Hyperparams
) -> FirstOrderState:
    """The state before the first iteration."""
    return FirstOrderState(
        optimizer_state=policy_optimizer(config, hyperparams.policy_learning_rate).init(params),
        multiplier=multiplier.init(
            multiplier_optimizer(config, hyperparams), hyperparams.multiplier_init, networks.num_constraints
        ),
    )


def update_multiplier(problem: Problem, current: Multiplier) -> tuple[Multiplier, jax.Array]:
    """The multipliers after one step on V_c - b, and their values [K]; there is no step during the warm-up."""
    hp = problem.hyperparams
    stepped = multiplier.update(
        multiplier_optimizer(problem.config, hp), current, problem.episode.cost - hp.cost_limit, hp.multiplier_max
    )
    new = jax.tree.map(lambda n, o: jnp.where(problem.warmup, o, n), stepped, current)
    return new, jnp.where(problem.warmup, 0.0, new.value)


def descend(
    problem: Problem,
    loss_fn: LossFn,
    params: jax.Array,
    optimizer_state: Any,
    key: jax.Array,
    reference: policy.Gaussian,
    needed: jax.Array | bool = True,
) -> tuple[jax.Array, Any, jax.Array]:
    """Minimise a sum over samples by minibatches, until the policy has moved by target_kl from a reference.

    Args:
      problem: samples and settings.
      loss_fn: (new distribution of B samples, their Batch with the reference as `distribution`) -> summed loss [].
      params: [P] start.
      optimizer_state: state of `policy_optimizer`.
      key: key for the order of the samples.
      reference: [T, N, A] policy from which the KL is measured, after every pass.
      needed: [] bool, whether there is any pass at all.

    Returns:
      params [P], optimizer_state, share of the passes made [].
    """
    config, batch, policy_fn = problem.config, problem.batch, problem.networks.policy
    optimizer = policy_optimizer(config, policy_learning_rate(problem))

    def step(carry: tuple, rows: dict[str, Any], real: jax.Array) -> tuple:
        params, state = carry
        samples = batch._replace(**rows, mask=real)

        def mean_loss(p: jax.Array) -> jax.Array:
            return loss_fn(policy_fn(p, samples.observation), samples) / jnp.maximum(jnp.sum(real), 1)

        updates, state = optimizer.update(jax.grad(mean_loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    def too_far(carry: tuple) -> jax.Array:
        return mean_kl(problem, reference, carry[0]) > problem.hyperparams.target_kl

    (params, optimizer_state), passes = minibatch.passes(
        step,
        (params, optimizer_state),
        key,
        {
            "observation": batch.observation,
            "action": batch.action,
            "log_prob": batch.log_prob,
            "distribution": reference,
            "advantage": batch.advantage,
        },
        batch.mask,
        num_passes=config.policy_passes,
        minibatch_size=config.policy_samples_per_minibatch,
        stop_fn=too_far,
        needed=needed,
    )
    return params, optimizer_state, passes / config.policy_passes


def mean_kl(problem: Problem, reference: policy.Gaussian, params: jax.Array) -> jax.Array:
    """KL from a reference policy [T, N, A] to the one with parameters [P], over the samples in use: [] nats."""
    batch, policy_fn = problem.batch, problem.networks.policy

    def block_fn(block: tuple) -> jax.Array:
        observation, old, mask = block
        return jnp.sum(jnp.where(mask, policy.kl_divergence(old, policy_fn(params, observation)), 0.0))

    total = batch.blocks.sum(block_fn, (batch.observation, reference, batch.mask))
    return total / jnp.maximum(jnp.sum(batch.mask), 1)


def first_order_update(
    problem: Problem,
    params: jax.Array,
    passes: jax.Array,
    weight: jax.Array,
    nu: jax.Array,
    state: FirstOrderState,
) -> Update:
    """The Update of a first-order rule. Its g_r and g_c are the gradients of the same surrogate at the old policy.

    Args:
      problem: the old policy and samples.
      params: [P] parameters that were reached.
      passes: [] share of the passes made.
      weight: [M] weights of the objectives.
      nu: [K] multipliers in use.
      state: state for the next iteration.
    """
    comparison = compare(problem, natural_directions(problem))
    return Update(
        step=params - problem.params,
        active=weight > 0,
        weight=weight,
        gram=comparison.gram,
        kl=mean_kl(problem, problem.batch.distribution, params),
        step_fraction=passes,
        cg_residual=jnp.zeros(()),
        multiplier=nu,
        state=state,
        failed_line_searches=jnp.sum(comparison.failed),
    )
