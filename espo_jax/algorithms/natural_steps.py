"""Natural steps: directions of the objectives, their conflict, trust region, and the step of a choice."""

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
      gradient: [M, P] g, gradients of the reward and of minus each cost.
      direction: [M, P] F^-1 g.
      image: [M, P] F F^-1 g; conjugate gradients make it only nearly g.
      residual: [] largest relative residual.
      fisher: v -> F v, with the damping.
    """

    gradient: jax.Array
    direction: jax.Array
    image: jax.Array
    residual: jax.Array
    fisher: natural_gradient.MatVec


class TrustRegion(NamedTuple):
    """Accepted steps along C directions.

    Args:
      step: [C, P] accepted steps; 0 where no step was acceptable.
      fraction: [C] accepted share of the full step.
      kl: [C] KL divergence from the old policy, in nats.
      failed: [C] bool, an improvement was expected to first order, and no share of the step was acceptable.
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
    config, networks, gradient = problem.config, problem.networks, gradients(problem)
    observation, mask, blocks = every_nth_step(problem.batch, config.fisher_stride)
    # The linearisation keeps what the network sees; it need not keep the observation too.
    fisher = natural_gradient.fisher_product(
        networks.policy_of_whitened,
        problem.params,
        networks.whiten(observation),
        mask,
        blocks,
        damping=problem.hyperparams.cg_damping,
    )
    direction = natural_gradient.conjugate_gradient(fisher, gradient, num_iterations=config.cg_iterations)
    image = fisher(direction)
    residual = jnp.linalg.norm(gradient - image, axis=-1) / jnp.maximum(jnp.linalg.norm(gradient, axis=-1), 1e-30)
    return Natural(gradient, direction, image, jnp.max(residual), fisher)


def trust_region(problem: Problem, natural: Natural, weight: jax.Array) -> TrustRegion:
    """TRPO steps, scaled to the KL radius and line-searched.

    Args:
      problem: the old policy and samples.
      natural: gradients and natural directions of the M objectives.
      weight: [C, M] weights of the objectives that candidate c follows and must improve.
    """
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


class Comparison(NamedTuple):
    """How the objectives' directions stand to each other.

    Args:
      gram: [M, M] inner products in the metric of the conflict.
      own: the own steps of the M objectives.
      failed: [M] bool, the line search of an objective that the comparison is for found no acceptable step.
    """

    gram: jax.Array
    own: TrustRegion
    failed: jax.Array


def compare(problem: Problem, natural: Natural, active: jax.Array | None = None) -> Comparison:
    """Inner products of the objectives' directions in the metric of the conflict, and each objective's own step.

    A metric that compares steps has nothing to compare where a line search failed: the inner product with a step of
    zero would say "no conflict". If that happens to an active objective, the inner products are those of the metric
    "fisher", g_i^T F^-1 g_j.

    Args:
      problem: the old policy and samples.
      natural: gradients and natural directions of the M objectives.
      active: [M] bool, the objectives that are followed; None for all. The comparison is for them, and for those that
        a sample-size rule looks at.
    """
    num_objectives = natural.gradient.shape[0]
    own = trust_region(problem, natural, jnp.eye(num_objectives))
    considered = jnp.ones(num_objectives, bool) if active is None else active | problem.choice.active
    failed = own.failed & considered
    metric, fisher = conflict.METRICS[problem.config.conflict_metric], conflict.METRICS["fisher"]
    gram = metric.gram(natural.gradient, natural.direction, own.step)
    if metric.of_steps:
        without_steps = fisher.gram(natural.gradient, natural.direction, own.step)
        gram = jnp.where(jnp.any(failed), without_steps, gram)
    return Comparison(gram, own, failed)


def in_natural_directions(own_step: jax.Array, natural: Natural) -> jax.Array:
    """The factor s of each objective's own step s F^-1 g: [M]."""
    square = dot(natural.direction, natural.gradient)
    return dot(own_step, natural.gradient) / jnp.maximum(square, jnp.finfo(square.dtype).tiny)


def follow(problem: Problem, choice: ModeChoice) -> Update:
    """A natural step for the one objective of a choice."""
    natural = natural_directions(problem)
    comparison = compare(problem, natural, choice.active)
    return take_step(problem, natural, comparison, choice, choice.weight)


def take_step(
    problem: Problem, natural: Natural, comparison: Comparison, choice: ModeChoice, coefficients: jax.Array
) -> Update:
    """The step along a combination of the objectives.

    A metric of the conflict that compares the objectives' own steps combines these steps. Every other metric combines
    their natural directions, and the combination gets a line search of its own. The same holds for a
    metric of steps in a balance in which the line search of an objective failed.

    Args:
      problem: the old policy and samples.
      natural: gradients and natural directions of the M objectives.
      comparison: from `compare`.
      choice: the objectives that are followed, and whether they are balanced.
      coefficients: [M] of the combination.
    """
    own = comparison.own
    of_steps = conflict.METRICS[problem.config.conflict_metric].of_steps
    preconditioned = jnp.any(comparison.failed) & choice.balance if of_steps else jnp.array(True)
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
        gram=comparison.gram,
        kl=kl[0],
        step_fraction=fraction,
        cg_residual=natural.residual,
        multiplier=jnp.zeros_like(problem.hyperparams.cost_limit),
        failed_line_searches=jnp.sum(comparison.failed),
    )


def every_nth_step(batch: Batch, stride: int) -> tuple[jax.Array, jax.Array, Blocks]:
    """Observations [T', N, O] and mask [T', N] of every stride-th time step, with the blocks they fill."""
    rows = -(-batch.mask.shape[0] // stride)
    size = -(-rows // -(-rows // batch.blocks.size))  # blocks of equal size, as few as there must be
    padding = -rows % size

    def thin(x: jax.Array) -> jax.Array:
        return jnp.pad(x[::stride], ((0, padding), *[(0, 0)] * (x.ndim - 1)))

    mask = thin(batch.mask)
    return thin(batch.observation), mask, Blocks.covering(jnp.sum(jnp.any(mask, axis=1)), size)


def improvement_and_kl(problem: Problem, change: jax.Array, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Gain of weighted surrogates over the old policy, and mean KL from it, of C candidates.

    Args:
      problem: the old policy and samples.
      change: [C, P] change of the parameters by each candidate.
      weight: [C, M] weights of the objectives for each candidate.

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
