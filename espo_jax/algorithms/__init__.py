"""The algorithms: one module each, with its update rule RULE; RULES has them by name."""

from typing import Any

from espo_jax.algorithms import crpo, cup, espo, iteration, pcpo, pcrpo, ppo_lagrangian, trpo
from espo_jax.algorithms.iteration import Algorithm, Rule
from espo_jax.algorithms.types import UpdateRule
from espo_jax.config import Config
from espo_jax.settings import choose

RULES: dict[str, UpdateRule] = {
    module.RULE.name: module.RULE for module in (espo, pcrpo, crpo, pcpo, cup, ppo_lagrangian, trpo)
}


def make(name: str, env: Any, config: Config | None = None, sample_size_rule: Rule | None = None) -> Algorithm:
    """The algorithm of that name on an environment, see `iteration.make`.

    Raises:
      ValueError: the name is not known; or as for `iteration.make`.
    """
    return iteration.make(env, config or Config(), choose("algorithm", name, RULES), sample_size_rule)
