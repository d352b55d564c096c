"""CRPO: a reward step while the costs are within their limits, else a cost step.

Reference: Xu, Liang & Lan 2021, arXiv:2011.05869, algorithm 1.
"""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from espo_jax import modes
from espo_jax.algorithms import core
from espo_jax.algorithms.steps import follow
from espo_jax.algorithms.types import Algorithm, Problem, Update, UpdateRule
from espo_jax.config import Config

if TYPE_CHECKING:
    from espo_jax.training.loop import TrainResult


def make(env: Any, config: Config | None = None, sample_size_rule: core.Rule | None = None) -> Algorithm:
    """CRPO on an environment; arguments and errors as for `espo.make`."""
    return core.make(env, config or Config(), RULE, sample_size_rule)


def train(environment: Any, **options: Any) -> "TrainResult":
    """Train CRPO; arguments, result and errors as for `espo.train`."""
    from espo_jax.training import loop

    return loop.train(make, environment, **options)


def update(problem: Problem, state: tuple = ()) -> Update:
    """A natural step on g_r if V_c <= b + eta, else on g_c of the constraint most violated relative to its limit."""
    del state
    hp = problem.hyperparams
    return follow(problem, switch(problem.episode.cost, hp.cost_limit, hp.cost_tolerance, problem.warmup))


def switch(
    episode_cost: jax.Array, cost_limit: jax.Array, tolerance: jax.Array | float, warmup: jax.Array | bool = False
) -> modes.ModeChoice:
    """Reward or cost: the modes without a band.

    Args:
      episode_cost: [K] V_c.
      cost_limit: [K] b.
      tolerance: eta >= 0.
      warmup: [] bool, always the reward.
    """
    no_band = jnp.full_like(cost_limit, jnp.inf)
    slack = jnp.full_like(cost_limit, tolerance)
    return modes.choose_mode(episode_cost, cost_limit, slack, no_band, 1.0, warmup)


RULE = UpdateRule("crpo", update)
