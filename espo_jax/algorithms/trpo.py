"""TRPO: the reward alone, as the reference for what a limit costs.

Reference: Schulman et al. 2015, arXiv:1502.05477.
"""

from typing import TYPE_CHECKING, Any

from espo_jax import modes
from espo_jax.algorithms import core
from espo_jax.algorithms.steps import follow
from espo_jax.algorithms.types import Algorithm, Problem, Update, UpdateRule
from espo_jax.config import Config

if TYPE_CHECKING:
    from espo_jax.training.loop import TrainResult


def make(env: Any, config: Config | None = None, sample_size_rule: core.Rule | None = None) -> Algorithm:
    """TRPO on an environment; arguments and errors as for `espo.make`."""
    return core.make(env, config or Config(), RULE, sample_size_rule)


def train(environment: Any, **options: Any) -> "TrainResult":
    """Train TRPO; arguments, result and errors as for `espo.train`."""
    from espo_jax.training import loop

    return loop.train(make, environment, **options)


def update(problem: Problem, state: tuple = ()) -> Update:
    """A natural step on g_r, whatever the cost."""
    del state
    return follow(problem, modes.only(0, problem.networks.num_constraints))


RULE = UpdateRule("trpo", update)
