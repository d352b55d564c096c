"""The algorithms: one module each, with its update rule RULE; RULES has them by name.

An algorithm of your own is an `UpdateRule` at the top level of a module of yours, with the name module:RULE.
"""

from typing import Any

from espo_jax import own_code
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
    return iteration.make(env, config or Config(), find(name), sample_size_rule)


def require_known(name: str, field: str = "algorithm") -> None:
    """Refuse a name that is neither a key of RULES nor of the form module:RULE.

    Args:
      name: the name.
      field: the setting that holds it, for the message.

    Raises:
      ValueError: naming the known names.
    """
    if not own_code.is_own(name):
        choose(field, name, RULES)


def find(name: str) -> UpdateRule:
    """The update rule of a name: a key of RULES, or module:RULE of code that the user has allowed.

    Raises:
      ValueError: the name is not known or not allowed, or stands for no update rule.
    """
    require_known(name)
    if name in RULES:
        return RULES[name]
    rule = own_code.find("algorithm", name)
    if not isinstance(rule, UpdateRule):
        raise ValueError(f"algorithm is {name!r}, which is {type(rule).__name__}: it must be an UpdateRule")
    return rule
