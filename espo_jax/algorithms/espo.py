"""ESPO: three modes by the cost, conflict resolved by projection, sample size by conflict.

Reference: Gu et al. 2024, arXiv:2405.20860, Algorithm 1.
"""

import jax.numpy as jnp

from espo_jax import conflict
from espo_jax.algorithms.natural_steps import compare, natural_directions, take_step
from espo_jax.algorithms.types import OF_CRPO, OF_FIRST_ORDER, Problem, Update, UpdateRule


def update(problem: Problem, state: tuple = ()) -> Update:
    """One policy update (Algorithm 1, lines 2 to 12).

    The mode says which gradients are followed. In the balance mode their natural steps are compared, and steps that
    conflict are projected off each other. From the same comparison, `sample_size.gradient_conflict` sets the number of
    samples of the next iteration: RULE names it, and `iteration.next_sample_size` calls it.
    """
    del state
    config, hp = problem.config, problem.hyperparams
    mode = problem.choice  # from modes.choose_mode: V_c against b + h- and b + h+
    natural = natural_directions(problem)
    comparison = compare(problem, natural, mode.active)
    projected = conflict.resolve(
        config.conflict_resolution, comparison.gram, mode.weight, mode.active, cagrad_radius=hp.cagrad_radius
    )
    coefficients = jnp.where(mode.balance, projected, mode.weight)
    return take_step(problem, natural, comparison, mode, coefficients)


RULE = UpdateRule(
    "espo", update, sample_size_rule="gradient_conflict", balances=True, unused=(*OF_FIRST_ORDER, *OF_CRPO)
)
