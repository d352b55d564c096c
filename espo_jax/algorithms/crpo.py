"""CRPO: a reward step while the costs are within their limits, else a cost step.

Reference: Xu, Liang & Lan 2021, arXiv:2011.05869, algorithm 1.
"""

import jax
import jax.numpy as jnp

from espo_jax import modes
from espo_jax.algorithms.natural_steps import follow
from espo_jax.algorithms.types import OF_BALANCE, OF_FIRST_ORDER, Problem, Update, UpdateRule


def update(problem: Problem, state: tuple = ()) -> Update:
    """A natural step on g_r if V_c <= b + eta, else on g_c of the constraint most violated relative to its limit."""
    del state
    hp = problem.hyperparams
    return follow(problem, switch(problem.episode.cost, hp.cost_limit, hp.cost_tolerance, problem.warmup))


def switch(
    episode_cost: jax.Array, cost_limit: jax.Array, tolerance: jax.Array | float, warmup: jax.Array | bool = False
) -> modes.ModeChoice:
    """The choice between reward and cost: the modes without a band.

    Args:
      episode_cost: [K] V_c.
      cost_limit: [K] b.
      tolerance: eta >= 0, by how much the cost may exceed its limit.
      warmup: [] bool, whether the warm-up still runs; it always follows the reward.
    """
    no_band = jnp.full_like(cost_limit, jnp.inf)
    slack = jnp.full_like(cost_limit, tolerance)
    return modes.choose_mode(episode_cost, cost_limit, slack, no_band, 1.0, warmup)


RULE = UpdateRule("crpo", update, unused=(*OF_FIRST_ORDER, *OF_BALANCE))
