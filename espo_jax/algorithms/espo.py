"""ESPO: three modes by the cost, conflict resolved by projection, sample size by conflict.

Reference: Gu et al. 2024, arXiv:2405.20860, Algorithm 1.
"""

from typing import TYPE_CHECKING, Any

from espo_jax.algorithms import core
from espo_jax.algorithms.steps import follow
from espo_jax.algorithms.types import Algorithm, Problem, Update, UpdateRule
from espo_jax.config import Config

if TYPE_CHECKING:
    from espo_jax.training.loop import TrainResult


def make(env: Any, config: Config | None = None, sample_size_rule: core.Rule | None = None) -> Algorithm:
    """ESPO on an environment: Algorithm(init, step).

    Args:
      env: environment with Brax's reset and step, reporting info["cost"] (`safety_envs.make`, or any through
        `safety_envs.SafetyWrapper`).
      config: static settings.
      sample_size_rule: how many samples next, a function from `sample_size.Evidence` to a size; None is the rule that
        the config names.

    Raises:
      ValueError: the environment reports no cost, or a setting makes no sense for the algorithm.
    """
    return core.make(env, config or Config(), RULE, sample_size_rule)


def train(environment: Any, **options: Any) -> "TrainResult":
    """Train ESPO on an environment, in the manner of Brax's train functions.

    Args:
      environment: as for `make`, with an episode_length and a cost_limit of its own unless options give them.
      **options: num_timesteps or num_iterations, seed, progress_fn, ..., and any field of Config and Hyperparams;
        `training.loop.train` has them all. `presets.preset("paper", task)` holds the paper's for a task.

    Returns:
      make_inference_fn, params = (normalizer, policy, critics), and the last metrics.

    Raises:
      ValueError: a setting or the environment is not usable; before any compilation.
      IterationError: nan or infinity (its state then holds the last good parameters), or a negative cost.
    """
    from espo_jax.training import loop  # training is built on the algorithms: imported only to run

    return loop.train(make, environment, **options)


def update(problem: Problem, state: tuple = ()) -> Update:
    """One policy update (Algorithm 1, lines 2 to 12): the choice of the modes, followed by natural steps."""
    del state
    return follow(problem, problem.choice)


RULE = UpdateRule("espo", update, sample_size_rule="gradient_conflict", balances=True)
