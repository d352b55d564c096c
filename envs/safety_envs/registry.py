"""The tasks by name, here and in Brax's own registry."""

import functools
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType

import brax.envs

from safety_envs.base import SafetyEnv
from safety_envs.task import Task
from safety_envs.tasks import ant, halfcheetah, hopper, humanoid, humanoidstandup, pusher, reacher, swimmer, walker2d

# name -> the task's description, given the task's own options.
TASKS: Mapping[str, Callable[..., Task]] = MappingProxyType(
    {
        "safety_ant": ant.safety_ant,
        "safety_ant_velocity": ant.safety_ant_velocity,
        "safety_halfcheetah": halfcheetah.safety_halfcheetah,
        "safety_halfcheetah_velocity": halfcheetah.safety_halfcheetah_velocity,
        "safety_hopper": hopper.safety_hopper,
        "safety_hopper_velocity": hopper.safety_hopper_velocity,
        "safety_humanoid": humanoid.safety_humanoid,
        "safety_humanoid_velocity": humanoid.safety_humanoid_velocity,
        "safety_humanoidstandup": humanoidstandup.safety_humanoidstandup,
        "safety_pusher": pusher.safety_pusher,
        "safety_reacher": reacher.safety_reacher,
        "safety_swimmer_velocity": swimmer.safety_swimmer_velocity,
        "safety_walker2d": walker2d.safety_walker2d,
        "safety_walker2d_velocity": walker2d.safety_walker2d_velocity,
    }
)


def task_names() -> tuple[str, ...]:
    """Names that `make` knows, sorted."""
    return tuple(sorted(TASKS))


def describe(name: str, **options) -> Task:
    """One task's description.

    Args:
      name: one of `task_names()`.
      **options: the task's own, such as `goal_velocity` of safety_halfcheetah.

    Raises:
      ValueError: unknown task or option; the message names the known ones.
    """
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}; known tasks: {', '.join(task_names())}")
    known = tuple(inspect.signature(TASKS[name]).parameters)
    for option in options:
        if option not in known:
            raise ValueError(
                f"{name} has no option {option!r}; its options: {', '.join(('backend', 'reward', *known))}"
            )
    return TASKS[name](**options)


def make(name: str, backend: str | None = None, reward: str = "task", **options) -> SafetyEnv:
    """One task, not vectorised; `wrap` makes it ready for training.

    Args:
      name: one of `task_names()`.
      backend: one of `BACKENDS`, the physics; None: `mujoco` on a CPU, exact physics that run on the device
        elsewhere.
      reward: "task", what the published agents train on, or "step", with the healthy and control terms of
            Gymnasium's step.
      **options: the task's own, such as `goal_velocity` of safety_halfcheetah.

    Returns:
      A Brax environment whose states carry `info["cost"]`.

    Raises:
      ValueError: unknown task, option, backend or reward, or a backend that cannot run the task; the message
        names the known ones.
    """
    return SafetyEnv(describe(name, **options), backend, reward)


for _name in TASKS:
    brax.envs.register_environment(_name, functools.partial(make, _name))
