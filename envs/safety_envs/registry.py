"""The tasks by name, here and in Brax's own registry, and those that users register."""

import contextlib
import functools
import inspect
import traceback
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import brax.envs
from brax.envs.base import Env

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


_registered: dict[str, Callable[..., Env | Task]] = {}


def register(name: str, factory: Callable[..., Env | Task]) -> None:
    """Make an environment of your own known by a name, to `make` and to all that takes the name of a task.

    Args:
      name: a name that no other task has; registering the same name again replaces the factory.
      factory: returns a Brax environment, not vectorised, or a `Task`. It is called with those of `backend`, `reward`
        and the task's own options that are given; a factory without `backend` has one physics.

    Raises:
      ValueError: the name is one of this library's tasks, or no name.
    """
    if name in TASKS:
        raise ValueError(f"name is {name!r}: it is a task of safety_envs; register another name")
    if not name or not name.isprintable() or ":" in name:
        raise ValueError(f"name is {name!r}: it must be printable text without a colon")
    _registered[name] = factory


def task_names() -> tuple[str, ...]:
    """Names that `make` knows, sorted."""
    return tuple(sorted({*TASKS, *_registered}))


def is_registered(name: str) -> bool:
    """Whether a name was given to `register`."""
    return name in _registered


def describe(name: str, **options) -> Task:
    """The description of one task of this library.

    Args:
      name: a key of TASKS.
      **options: the task's own, such as `goal_velocity` of safety_halfcheetah.

    Raises:
      ValueError: unknown task or option; the message names the known ones.
    """
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}; known tasks: {', '.join(task_names())}")
    _check_options(name, TASKS[name], options, ("backend", "reward"))
    return TASKS[name](**options)


def make(name: str, backend: str | None = None, reward: str = "task", **options) -> Env:
    """One task, not vectorised; `wrap` makes it ready for training.

    Args:
      name: one of `task_names()`.
      backend: one of `BACKENDS`, the physics; None: `mujoco` on a CPU, exact physics that run on the device
        elsewhere.
      reward: "task", what the published agents train on, or "step", with the healthy and control terms of
            Gymnasium's step.
      **options: the task's own, such as `goal_velocity` of safety_halfcheetah.

    Returns:
      A Brax environment whose states carry `info["cost"]`; a `SafetyEnv` for the tasks of this library.

    Raises:
      ValueError: unknown task, option, backend or reward, or a backend that cannot run the task; the message
        names the known ones.
    """
    if name in _registered:
        return make_by(_registered[name], name, backend, reward, options)
    env = SafetyEnv(describe(name, **options), backend, reward)
    env.made_from = {"task": name, "reward": reward, "env": options}
    return env


def make_by(
    factory: Callable[..., Env | Task], name: str, backend: str | None, reward: str, options: Mapping[str, Any]
) -> Env:
    """The environment of a factory of the user's own, see `register`.

    Args:
      factory: makes the environment or its `Task`.
      name: what it is called, for messages.
      backend: the physics; None leaves it to the factory.
      reward: "task" unless the factory takes another one.
      options: its own options.

    Raises:
      ValueError: the factory lacks an option, a physics or a reward that is given, or returns no environment.
    """
    if not callable(factory):
        raise ValueError(f"{name} is {type(factory).__name__}: it must be a function that makes an environment")
    signature = inspect.signature(factory)
    known = signature.parameters
    takes_all = any(each.kind is each.VAR_KEYWORD for each in known.values())
    if not takes_all:
        _check_options(name, factory, options)
    given = dict(options)
    if backend is not None and (takes_all or "backend" in known):
        given["backend"] = backend
    if takes_all or "reward" in known:
        given["reward"] = reward
    try:
        signature.bind(**given)
    except TypeError as error:
        raise ValueError(f"{name}: {error}, an option of the environment") from None
    try:
        made = factory(**given)
    except ValueError:
        raise
    except Exception as error:  # of the user's own code: any
        at = traceback.extract_tb(error.__traceback__)[-1]
        raise ValueError(
            f"{name} cannot be made: {type(error).__name__}: {error} ({at.filename}, line {at.lineno})"
        ) from error
    if isinstance(made, Task):
        made = SafetyEnv(made, backend, reward)
    if not (hasattr(made, "reset") and hasattr(made, "step")):
        raise ValueError(f"{name} makes a {type(made).__name__}: it must be a Brax environment or a safety_envs.Task")
    if backend is not None and backend != (own := getattr(made, "backend", None)):
        raise ValueError(f"backend is {backend!r}: {name} has {own!r} and takes no other")
    if reward != "task" and "reward" not in given and not isinstance(made, SafetyEnv):
        raise ValueError(f"reward is {reward!r}: {name} has one reward only")
    with contextlib.suppress(AttributeError):  # an object with slots: its name is known to who asked for it
        object.__setattr__(made, "made_from", {"task": name, "reward": reward, "env": dict(options)})
    return made


def _check_options(name: str, factory: Callable, options: Mapping[str, Any], further: tuple[str, ...] = ()) -> None:
    known = tuple(inspect.signature(factory).parameters)
    for option in options:
        if option not in known:
            options_ = ", ".join(dict.fromkeys((*further, *known)))
            raise ValueError(f"{name} has no option {option!r}; its options: {options_ or 'none'}")


for _name in TASKS:
    brax.envs.register_environment(_name, functools.partial(make, _name))
