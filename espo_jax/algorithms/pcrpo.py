"""PCRPO: the three modes of ESPO on a fixed number of samples.

Reference: Gu et al. 2024, "Balance Reward and Safety Optimization for Safe Reinforcement Learning: A Perspective of
Gradient Manipulation", AAAI, arXiv:2405.01677.
"""

from typing import TYPE_CHECKING, Any

from espo_jax.algorithms import core, espo
from espo_jax.algorithms.types import Algorithm, UpdateRule
from espo_jax.config import Config

if TYPE_CHECKING:
    from espo_jax.training.loop import TrainResult


def make(env: Any, config: Config | None = None, sample_size_rule: core.Rule | None = None) -> Algorithm:
    """PCRPO on an environment; arguments and errors as for `espo.make`."""
    return core.make(env, config or Config(), RULE, sample_size_rule)


def train(environment: Any, **options: Any) -> "TrainResult":
    """Train PCRPO; arguments, result and errors as for `espo.train`."""
    from espo_jax.training import loop

    return loop.train(make, environment, **options)


RULE = UpdateRule("pcrpo", espo.update, balances=True)
