"""PCPO: a natural step on the reward, then projection onto the linearised constraints.

Omnisafe's PCPO steps along the plain gradient, the paper along H^-1 g. This is the paper's.

Reference: Yang et al. 2020, arXiv:2010.03152, algorithm 1 (projection in the KL norm).
"""

import jax
import jax.numpy as jnp

from espo_jax import half_spaces, natural_gradient
from espo_jax.algorithms.natural_steps import (
    Natural,
    compare,
    improvement_and_kl,
    in_natural_directions,
    natural_directions,
)
from espo_jax.algorithms.types import OF_BALANCE, OF_CRPO, OF_FIRST_ORDER, Problem, Update, UpdateRule
from espo_jax.linalg import dot


def update(problem: Problem, state: tuple = ()) -> Update:
    """The reward's own TRPO step, projected, and kept within the trust region.

    Far outside of the limit the projection alone can be many radii long. The paper leaves it so. Here the whole step is
    scaled back to the radius, and halved until the KL divergence itself is within its bound.
    """
    del state
    natural = natural_directions(problem)
    comparison = compare(problem, natural)
    own = comparison.own
    reward_step = own.step[0]
    step, multiplier = half_spaces.project(
        reward_step, normal=-natural.gradient[1:], offset=violation(problem), direction=-natural.direction[1:]
    )
    multiplier = jnp.where(problem.warmup, 0.0, multiplier)
    step, search = within_trust_region(problem, jnp.where(problem.warmup, reward_step, step), natural)
    corrected = jnp.any(multiplier > 0)
    # The step is reward_scale H^-1 g_r + sum_k multiplier_k H^-1 g_c,k.
    reward_scale = in_natural_directions(own.step, natural)[0]
    return Update(
        step=step,
        active=jnp.concatenate([jnp.ones(1, bool), multiplier > 0]),
        weight=jnp.concatenate([reward_scale[None], multiplier]),
        gram=comparison.gram,
        kl=search.kl[0],
        step_fraction=jnp.where(corrected, search.fraction[0], own.fraction[0]),
        cg_residual=natural.residual,
        multiplier=jnp.zeros_like(multiplier),
        failed_line_searches=jnp.sum(comparison.failed),
    )


def violation(problem: Problem) -> jax.Array:
    """c: V_c - b in the unit of the surrogate whose gradient is a, [K].

    V_c is the undiscounted cost of an episode of L steps; the surrogate's mean is a cost per step, divided by the
    scale of the standardised advantages. So a change d of the surrogate means a change L scale d of V_c.
    """
    unit = problem.episode.length * problem.batch.advantage_scale[1:]
    return (problem.episode.cost - problem.hyperparams.cost_limit) / jnp.maximum(unit, jnp.finfo(unit.dtype).tiny)


def within_trust_region(
    problem: Problem, step: jax.Array, natural: Natural
) -> tuple[jax.Array, natural_gradient.LineSearch]:
    """A step [P] scaled to the KL radius if it is longer, and halved while the KL divergence is too large."""
    hp = problem.hyperparams
    square = dot(step, natural.fisher(step))
    # A step that fills the radius up to rounding stays as it is.
    too_long = square > 2 * hp.target_kl * (1 + 1e-3)
    scaled = jnp.where(too_long, jnp.sqrt(2 * hp.target_kl / jnp.where(too_long, square, 1.0)), 1.0) * step

    def only_kl(change: jax.Array) -> tuple[jax.Array, jax.Array]:
        _, kl = improvement_and_kl(problem, change, jnp.zeros((1, problem.batch.advantage.shape[-1])))
        return jnp.ones_like(kl), kl

    search = natural_gradient.line_search(
        only_kl,
        scaled[None],
        jnp.ones(1),
        max_kl=hp.kl_margin * hp.target_kl,
        accept_ratio=0.0,
        num_steps=problem.config.line_search_steps,
    )
    return search.fraction[0] * scaled, search


RULE = UpdateRule("pcpo", update, unused=(*OF_FIRST_ORDER, *OF_BALANCE, *OF_CRPO))
