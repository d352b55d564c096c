"""Safe reinforcement learning by sample manipulation (ESPO, NeurIPS 2024) as pure JAX functions.

algorithm = espo_jax.espo.make(env, espo_jax.Config())
state = algorithm.init(key, hyperparams)
state, metrics = algorithm.step(state, hyperparams)
"""

import safety_envs  # noqa: F401 - first, as it silences what mujoco.mjx prints

from espo_jax.algorithms import RULES
from espo_jax.algorithms.iteration import Algorithm
from espo_jax.algorithms.metrics import Metrics
from espo_jax.algorithms.types import TrainState
from espo_jax.config import Config
from espo_jax.hyperparams import Hyperparams
from espo_jax.runs.policies import load_policy
from espo_jax.trainer import Trainer

__version__ = "0.1.0"

espo = Trainer(RULES["espo"])
pcrpo = Trainer(RULES["pcrpo"])
crpo = Trainer(RULES["crpo"])
pcpo = Trainer(RULES["pcpo"])
cup = Trainer(RULES["cup"])
ppo_lagrangian = Trainer(RULES["ppo_lagrangian"])
trpo = Trainer(RULES["trpo"])


def __getattr__(name: str) -> Trainer:
    """The algorithms that were added to RULES and are not spelled out above."""
    if name in RULES:
        return Trainer(RULES[name])
    raise AttributeError(f"module 'espo_jax' has no attribute {name!r}")


__all__ = [
    "Algorithm",
    "Config",
    "Hyperparams",
    "Metrics",
    "TrainState",
    "Trainer",
    "crpo",
    "cup",
    "espo",
    "load_policy",
    "pcpo",
    "pcrpo",
    "ppo_lagrangian",
    "trpo",
]
