"""PCRPO: the three modes of ESPO on a fixed number of samples.

Reference: Gu et al. 2024, "Balance Reward and Safety Optimization for Safe Reinforcement Learning: A Perspective of
Gradient Manipulation", AAAI, arXiv:2405.01677.
"""

from espo_jax.algorithms import espo
from espo_jax.algorithms.types import OF_CRPO, OF_FIRST_ORDER, UpdateRule

RULE = UpdateRule("pcrpo", espo.update, balances=True, unused=(*OF_FIRST_ORDER, *OF_CRPO))
