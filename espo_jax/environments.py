"""Environments by name, with their options: a task of `safety_envs`, or a function of the user's own code."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import safety_envs

from espo_jax import own_code
from espo_jax.settings import shown


def named_env(task: str, backend: str | None = None, reward: str | None = None, env: Iterable[str] = ()) -> Any:
    """One instance of an environment, not vectorised.

    Args:
      task: one of `safety_envs.task_names()`, or module:function of code that the user has allowed; the function is
        called as a factory of `safety_envs.register` is.
      backend: physics; None leaves it to the task.
      reward: "task" or "step"; None stands for "task".
      env: options of the task, each name=value.

    Raises:
      ValueError: the task, an option or the physics is not known, or the task's code is not allowed.
    """
    options = parse_options(env)
    if own_code.is_own(task):
        return safety_envs.make_by(own_code.find("task", task), task, backend, reward or "task", options)
    if task not in safety_envs.task_names():
        raise ValueError(
            f"unknown task {shown(task)}; known tasks: {', '.join(safety_envs.task_names())}; one that a module "
            "registers is known once that module is imported (--allow-code MODULE)"
        )
    return safety_envs.make(task, backend=backend, reward=reward or "task", **options)


def parse_options(texts: Iterable[str]) -> dict[str, Any]:
    """Options of a task from texts name=value; a value is a number, true, false or a list if JSON reads it so.

    Raises:
      ValueError: a text has another form, or a name is there twice.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name.isidentifier():
            raise ValueError(f"env is {shown(text)}: it must be an option of the task, name=value")
        if name in found:
            raise ValueError(f"env names {name} twice")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def written_options(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Options of a task as texts that `parse_options` reads, sorted by name.

    Raises:
      ValueError: a value cannot be written so.
    """
    try:
        return tuple(f"{name}={json.dumps(options[name])}" for name in sorted(options))
    except TypeError as error:
        raise ValueError(f"env has an option that cannot be written to a run directory: {error}") from None
