"""TRPO: the reward alone, as the reference for what a limit costs.

Reference: Schulman et al. 2015, arXiv:1502.05477.
"""

from espo_jax import modes
from espo_jax.algorithms.natural_steps import follow
from espo_jax.algorithms.types import OF_BALANCE, OF_CRPO, OF_FIRST_ORDER, Problem, Update, UpdateRule


def update(problem: Problem, state: tuple = ()) -> Update:
    """A natural step on g_r, whatever the cost."""
    del state
    return follow(problem, modes.only(0, problem.networks.num_constraints))


RULE = UpdateRule("trpo", update, unused=(*OF_FIRST_ORDER, *OF_BALANCE, *OF_CRPO))
