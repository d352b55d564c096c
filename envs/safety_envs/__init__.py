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
from safety_envs.episode import EpisodeWrapper
from safety_envs.physics import BACKENDS
from safety_envs.registry import describe, is_registered, make, make_by, register, task_names
from safety_envs.task import Readings, Task
from safety_envs.usable import require_usable
from safety_envs.wrappers import SafetyWrapper, vectorize, wrap

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
    "is_registered",
    "make",
    "make_by",
    "playground",
    "register",
    "require_usable",
    "task_names",
    "vectorize",
    "wrap",
]
