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
      failed: [C] bool, a step had a first-order promise and no share of it was acceptable.
    """

    step: jax.Array
    fraction: jax.Array
    kl: jax.Array
    failed: jax.Array


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
    promise = dot(combine(weight, natural.gradient), step)
    search = natural_gradient.line_search(
        lambda change: improvement_and_kl(problem, change, weight),
        step,
        promise,
        max_kl=hp.kl_margin * hp.target_kl,
        accept_ratio=hp.accept_ratio,
        num_steps=problem.config.line_search_steps,
    )
    accepted = search.fraction[:, None]
    return TrustRegion(
        step=jnp.where(accepted > 0, accepted * step, 0.0),
        fraction=search.fraction,
        kl=search.kl,
        failed=(promise > 0) & (search.fraction == 0),
    )


def compare(problem: Problem, natural: Natural, active: jax.Array | bool = True) -> tuple[jax.Array, TrustRegion]:
    """Inner products of the objectives' directions in the metric of the conflict, and each objective's own step.

    A metric that compares steps has nothing to compare where a line search failed: the inner product with a step of
    zero would say "no conflict". If that happens to an active objective, the inner products are those of the metric
    "fisher", g_i^T F^-1 g_j.

    Args:
      problem: the old policy and samples.
      natural: gradients and natural directions of the M objectives.
      active: [M] bool, the objectives that the comparison is for.

    Returns:
      Gram matrix [M, M], and the M own steps.
    """
    own = trust_region(problem, natural, jnp.eye(natural.gradient.shape[0]))
    metric, fisher = conflict.METRICS[problem.config.conflict_metric], conflict.METRICS["fisher"]
    gram = metric.gram(natural.gradient, natural.direction, own.step)
    if metric.of_steps:
        without_steps = fisher.gram(natural.gradient, natural.direction, own.step)
        gram = jnp.where(jnp.any(own.failed & active), without_steps, gram)
    return gram, own


def in_natural_directions(own_step: jax.Array, natural: Natural) -> jax.Array:
    """s of each objective's own step s F^-1 g: [M]."""
    square = dot(natural.direction, natural.gradient)
    return dot(own_step, natural.gradient) / jnp.maximum(square, jnp.finfo(square.dtype).tiny)


def follow(problem: Problem, choice: ModeChoice) -> Update:
    """A natural step for the objectives of a choice; in its balance, conflicts are resolved as configured.

    Where the metric compares steps and one of them failed its line search in a balance, the step is that of the
    metric "fisher": natural directions are combined, and the combination gets a line search of its own.
    """
    config, hp = problem.config, problem.hyperparams
    natural = natural_directions(problem)
    # What is followed, and what a sample-size rule looks at.
    considered = choice.active | problem.choice.active
    gram, own = compare(problem, natural, considered)
    failed = own.failed & considered
    resolved = conflict.resolve(
        config.conflict_resolution, gram, choice.weight, choice.active, cagrad_radius=hp.cagrad_radius
    )
    coefficients = jnp.where(choice.balance, resolved, choice.weight)
    of_steps = conflict.METRICS[config.conflict_metric].of_steps
    preconditioned = jnp.any(failed) & choice.balance if of_steps else jnp.array(True)
    # A direction of zero is settled before the first trial of its line search.
    joint = trust_region(problem, natural, jnp.where(preconditioned, coefficients, 0.0)[None])
    step, weight, fraction, kl = joint.step[0], coefficients, joint.fraction[0], joint.kl
    if of_steps:
        step = jnp.where(preconditioned, step, combine(coefficients, own.step))
        weight = jnp.where(preconditioned, weight, coefficients * in_natural_directions(own.step, natural))
        fraction = jnp.where(preconditioned, fraction, jnp.min(jnp.where(choice.active, own.fraction, 1.0)))
        _, kl = improvement_and_kl(problem, step[None], choice.weight[None])
    return Update(
        step=step,
        active=choice.active,
        weight=weight,
        gram=gram,
        kl=kl[0],
        step_fraction=fraction,
        cg_residual=natural.residual,
        multiplier=jnp.zeros_like(hp.cost_limit),
        failed_line_searches=jnp.sum(failed),
    )


def every_nth_step(batch: Batch, stride: int) -> tuple[jax.Array, jax.Array, Blocks]:
    """Observations [T', N, O] and mask [T', N] of every stride-th time step, with the blocks they fill."""
    size = batch.blocks.size
    rows = -(-batch.mask.shape[0] // stride)
    padding = -rows % size

    def thin(x: jax.Array) -> jax.Array:
        return jnp.pad(x[::stride], ((0, padding), *[(0, 0)] * (x.ndim - 1)))

    mask = thin(batch.mask)
    return thin(batch.observation), mask, Blocks.covering(jnp.sum(jnp.any(mask, axis=1)), size)


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
