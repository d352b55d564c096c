"""The natural steps that algorithms share: directions, conflict, trust region, following a choice of objectives."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from espo_jax import conflict, natural_gradient, policy, surrogate
from espo_jax.algorithms.types import Batch, Problem, Update
from espo_jax.blocks import Blocks
from espo_jax.linalg import combine, dot
from espo_jax.modes import ModeChoice


class Natural(NamedTuple):
    """Gradients of the objectives and their natural directions.

    Args:
      gradient: [M, P] g, of the reward and minus each cost.
      direction: [M, P] F^-1 g.
      image: [M, P] F F^-1 g, which conjugate gradients leave near g.
      residual: [] largest relative residual.
      fisher: v -> F v, damped.
    """

    gradient: jax.Array
    direction: jax.Array
    image: jax.Array
    residual: jax.Array
    fisher: natural_gradient.MatVec


class TrustRegion(NamedTuple):
    """Accepted steps along C directions.

    Args:
      step: [C, P], 0 where no step was acceptable.
      fraction: [C] of the full step.
      kl: [C] nats from the old policy.
    """

    step: jax.Array
    fraction: jax.Array
    kl: jax.Array


def gradients(problem: Problem) -> jax.Array:
    """g_r and g_c of each constraint: [M, P]."""
    batch = problem.batch
    return surrogate.surrogate_gradients(
        problem.networks.policy, problem.params, batch.observation, batch.action, batch.log_prob, batch.advantage,
        batch.mask, batch.blocks,
    )  # fmt: skip


def natural_directions(problem: Problem) -> Natural:
    """Gradients of all objectives, preconditioned by the Fisher matrix on every fisher_stride-th time step."""
    config, gradient = problem.config, gradients(problem)
    fisher = natural_gradient.fisher_product(
        problem.networks.policy,
        problem.params,
        *every_nth_step(problem.batch, config.fisher_stride),
        damping=problem.hyperparams.cg_damping,
    )
    direction = natural_gradient.conjugate_gradient(fisher, gradient, num_iterations=config.cg_iterations)
    image = fisher(direction)
    residual = jnp.linalg.norm(gradient - image, axis=-1) / jnp.maximum(jnp.linalg.norm(gradient, axis=-1), 1e-30)
    return Natural(gradient, direction, image, jnp.max(residual), fisher)


def trust_region(problem: Problem, natural: Natural, weight: jax.Array) -> TrustRegion:
    """KL-scaled, line-searched TRPO steps; candidate c follows, and must improve, objectives by weight[c]: [C, M]."""
    hp = problem.hyperparams
    direction, image = combine(weight, natural.direction), combine(weight, natural.image)
    step = natural_gradient.kl_scaled_step(direction, dot(direction, image), hp.target_kl)
    search = natural_gradient.line_search(
        lambda change: improvement_and_kl(problem, change, weight),
        step,
        dot(combine(weight, natural.gradient), step),
        max_kl=hp.kl_margin * hp.target_kl,
        accept_ratio=hp.accept_ratio,
        num_steps=problem.config.line_search_steps,
    )
    accepted = search.fraction[:, None]
    return TrustRegion(jnp.where(accepted > 0, accepted * step, 0.0), search.fraction, search.kl)


def compare(problem: Problem, natural: Natural) -> tuple[jax.Array, TrustRegion]:
    """Inner products [M, M] of the objectives' directions in the metric of the conflict, and each one's own step.

    The metric decides which vectors are compared and combined (PAPER.md section 5):
      natural    each objective's own line-searched TRPO step, in the Euclidean product
      euclidean  the raw gradients; their combination is preconditioned after
      fisher     the natural directions F^-1 g, in the Fisher product <F^-1 g_i, F^-1 g_j>_F = g_i^T F^-1 g_j
    Preconditioning is linear, so all three only differ in the Gram matrix and in what the coefficients multiply.
    """
    own = trust_region(problem, natural, jnp.eye(natural.gradient.shape[0]))
    metric = problem.config.conflict_metric
    if metric == "natural":
        return conflict.gram(own.step), own
    if metric == "euclidean":
        return conflict.gram(natural.gradient), own
    return conflict.gram(natural.gradient, natural.direction), own


def in_natural_directions(own_step: jax.Array, natural: Natural) -> jax.Array:
    """s of each objective's own step s F^-1 g: [M]."""
    square = dot(natural.direction, natural.gradient)
    return dot(own_step, natural.gradient) / jnp.maximum(square, jnp.finfo(square.dtype).tiny)


def follow(problem: Problem, choice: ModeChoice) -> Update:
    """A natural step for the objectives of a choice; in its balance, conflicts are resolved as configured."""
    config, hp = problem.config, problem.hyperparams
    natural = natural_directions(problem)
    gram, own = compare(problem, natural)
    resolved = conflict.resolve(
        config.conflict_resolution, gram, choice.weight, choice.active, cagrad_radius=hp.cagrad_radius
    )
    coefficients = jnp.where(choice.balance, resolved, choice.weight)
    weight = coefficients
    if config.conflict_metric == "natural":
        step = combine(coefficients, own.step)
        weight = coefficients * in_natural_directions(own.step, natural)
        _, kl = improvement_and_kl(problem, step[None], choice.weight[None])
        fraction = jnp.min(jnp.where(choice.active, own.fraction, 1.0))
    else:
        (step,), (fraction,), kl = trust_region(problem, natural, coefficients[None])
    return Update(
        step=step,
        active=choice.active,
        weight=weight,
        gram=gram,
        kl=kl[0],
        step_fraction=fraction,
        cg_residual=natural.residual,
        multiplier=jnp.zeros_like(hp.cost_limit),
    )


def every_nth_step(batch: Batch, stride: int) -> tuple[jax.Array, jax.Array, Blocks]:
    """Observations [T', N, O] and mask [T', N] of every stride-th time step, with the blocks they fill."""
    size = batch.blocks.size
    rows = -(-batch.mask.shape[0] // stride)
    padding = -rows % size

    def thin(x: jax.Array) -> jax.Array:
        return jnp.pad(x[::stride], ((0, padding), *[(0, 0)] * (x.ndim - 1)))

    mask = thin(batch.mask)
    return thin(batch.observation), mask, Blocks.covering(jnp.sum(mask[:, 0]), size)


def improvement_and_kl(problem: Problem, change: jax.Array, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Gain of weighted surrogates over the old policy, and mean KL from it, of C candidates.

    Args:
      problem: the old policy and samples.
      change: [C, P] candidates' changes.
      weight: [C, M] of the objectives, for each candidate.

    Returns:
      improvement [C], KL [C] in nats.
    """
    networks, params, batch = problem.networks, problem.params, problem.batch

    def block_fn(block: tuple) -> tuple[jax.Array, jax.Array]:
        observation, old, action, log_prob, advantage, mask = block

        def one(change: jax.Array) -> tuple[jax.Array, jax.Array]:
            new = networks.policy(params + change, observation)
            kl = jnp.sum(jnp.where(mask, policy.kl_divergence(old, new), 0.0))
            return surrogate.surrogate(new, action, log_prob, advantage, mask), kl

        return jax.vmap(one)(change)

    data = (batch.observation, batch.distribution, batch.action, batch.log_prob, batch.advantage, batch.mask)
    total, kl = batch.blocks.sum(block_fn, data)
    count = jnp.maximum(jnp.sum(batch.mask), 1)
    before = jnp.sum(jnp.where(batch.mask[..., None], batch.advantage, 0.0), axis=(0, 1))
    return jnp.sum(weight * (total - before), axis=-1) / count, kl / count
