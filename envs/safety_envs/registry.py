"""The tasks by name, here and in Brax's own registry."""

import brax.envs

from safety_envs.base import SafetyEnv
from safety_envs.tasks.reacher import SafetyReacher

_TASKS: dict[str, type[SafetyEnv]] = {
    "safety_reacher": SafetyReacher,
}

for _name, _task in _TASKS.items():
    brax.envs.register_environment(_name, _task)


def task_names() -> tuple[str, ...]:
    """Names that `make` knows, sorted."""
    return tuple(sorted(_TASKS))


def make(name: str, backend: str = "generalized", **kwargs) -> SafetyEnv:
    """One task, not vectorised; `wrap` makes it ready for training.

    Args:
      name: one of `task_names()`.
      backend: one of `BACKENDS`, the physics pipeline.
      **kwargs: the task's own options, such as `reward="step"`.

    Returns:
      A Brax environment whose states carry `info["cost"]`.

    Raises:
      ValueError: unknown task, backend or option value; the message names the known ones.
    """
    if name not in _TASKS:
        raise ValueError(f"unknown task {name!r}; known tasks: {', '.join(task_names())}")
    return _TASKS[name](backend=backend, **kwargs)
