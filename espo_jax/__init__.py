"""Safe reinforcement learning by sample manipulation (ESPO, NeurIPS 2024) as pure JAX functions.

algorithm = espo_jax.espo.make(env, espo_jax.Config())
state = algorithm.init(key, hyperparams)
state, metrics = algorithm.step(state, hyperparams)
"""

from espo_jax.algorithms import crpo, cup, espo, pcpo, pcrpo, ppo_lagrangian, trpo
from espo_jax.algorithms.types import Algorithm, Metrics, TrainState
from espo_jax.config import Config
from espo_jax.hyperparams import Hyperparams
from espo_jax.training.policies import load_policy

__version__ = "0.1.0"

__all__ = [
    "Algorithm",
    "Config",
    "Hyperparams",
    "Metrics",
    "TrainState",
    "crpo",
    "cup",
    "espo",
    "load_policy",
    "pcpo",
    "pcrpo",
    "ppo_lagrangian",
    "trpo",
]
