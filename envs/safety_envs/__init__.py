"""Safe reinforcement learning tasks on Brax's Env/State API: every step reports a cost.

env = safety_envs.wrap(safety_envs.make("safety_reacher", backend="spring"))
state = env.reset(jax.random.split(key, 64))
state = env.step(state, action)   # state.info["cost"]: [64]
"""

from safety_envs import (
    _quiet_mjx,  # noqa: F401  (before anything imports Brax)
    gymnasium,
    playground,
)
from safety_envs.auto_reset import AutoResetWrapper
from safety_envs.base import SafetyEnv
from safety_envs.physics import BACKENDS
from safety_envs.registry import describe, make, task_names
from safety_envs.task import Readings, Task
from safety_envs.wrappers import EpisodeWrapper, SafetyWrapper, vectorize, wrap

__all__ = [
    "BACKENDS",
    "AutoResetWrapper",
    "EpisodeWrapper",
    "Readings",
    "SafetyEnv",
    "SafetyWrapper",
    "Task",
    "describe",
    "gymnasium",
    "make",
    "playground",
    "task_names",
    "vectorize",
    "wrap",
]
