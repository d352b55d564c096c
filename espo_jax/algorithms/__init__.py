"""The algorithms: one module each, with make(env, config), a Brax-style train, and the update rule RULE."""

import importlib
from types import ModuleType

NAMES = ("espo", "pcrpo", "crpo", "pcpo", "cup", "ppo_lagrangian", "trpo")


def load(name: str) -> ModuleType:
    """The module of an algorithm.

    Raises:
      ValueError: naming the known ones.
    """
    if name not in NAMES:
        raise ValueError(f"unknown algorithm {name!r}; known algorithms: {', '.join(NAMES)}")
    return importlib.import_module(f"espo_jax.algorithms.{name}")
