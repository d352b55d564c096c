"""Safe reinforcement learning by sample manipulation (ESPO, NeurIPS 2024) as pure JAX functions.

algorithm = espo_jax.espo.make(env, espo_jax.Config())
state = algorithm.init(key, hyperparams)
state, metrics = algorithm.step(state, hyperparams)
"""

import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from espo_jax.algorithms.iteration import Algorithm
    from espo_jax.algorithms.metrics import Metrics
    from espo_jax.algorithms.types import TrainState
    from espo_jax.config import Config
    from espo_jax.hyperparams import Hyperparams
    from espo_jax.runs.policies import load_policy
    from espo_jax.trainer import Trainer

    espo: Trainer
    pcrpo: Trainer
    crpo: Trainer
    pcpo: Trainer
    cup: Trainer
    ppo_lagrangian: Trainer
    trpo: Trainer

__version__ = "0.1.0"

_MODULES = {
    "Algorithm": "algorithms.iteration",
    "Config": "config",
    "Hyperparams": "hyperparams",
    "Metrics": "algorithms.metrics",
    "TrainState": "algorithms.types",
    "Trainer": "trainer",
    "load_policy": "runs.policies",
}


def __getattr__(name: str) -> Any:
    """A public name, which is imported when it is first used; the name of an algorithm gives its Trainer."""
    if name in _MODULES:
        found = getattr(importlib.import_module(f"espo_jax.{_MODULES[name]}"), name)
    elif name.startswith("_"):
        raise AttributeError(f"module 'espo_jax' has no attribute {name!r}")
    elif importlib.util.find_spec(f"espo_jax.{name}"):  # before the algorithms, which import such modules themselves
        found = importlib.import_module(f"espo_jax.{name}")
    else:
        rules = importlib.import_module("espo_jax.algorithms").RULES
        if name not in rules:
            raise AttributeError(f"module 'espo_jax' has no attribute {name!r}")
        found = importlib.import_module("espo_jax.trainer").Trainer(rules[name])
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """All names, also those that are not imported yet."""
    return sorted({*globals(), *__all__})


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
