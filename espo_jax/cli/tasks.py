"""`espo tasks`: list the tasks."""

import dataclasses

import safety_envs
from rich import box
from rich.table import Column, Table

from espo_jax.cli.common import OK, console
from espo_jax.cli.flags import parse_options


@dataclasses.dataclass(frozen=True)
class TasksOptions:
    """The command has no options."""


def command(argv: list[str]) -> int:
    """Parse the flags and list; returns the exit code."""
    parse_options(TasksOptions, argv, "espo tasks", "List what can be trained.")
    return tasks()


def tasks() -> int:
    """List the tasks with their sizes, costs, limits and backends; returns the exit code."""
    table = Table(
        Column("task", no_wrap=True), "obs.", "act.", "cost of a step", "limit", "backends", box=box.SIMPLE,
        pad_edge=False,
    )  # fmt: skip
    for name in safety_envs.task_names():
        env = safety_envs.make(name, backend="mujoco")
        backends = [b for b in safety_envs.BACKENDS if b not in env.task.refused]
        table.add_row(
            name,
            str(env.observation_size),
            str(env.action_size),
            env.task.cost_formula,
            f"{env.cost_limit:g}",
            "all" if len(backends) == len(safety_envs.BACKENDS) else ", ".join(backends),
        )
    out = console()
    out.print(table)
    out.print(
        "obs., act.: sizes of observation and action; a: the raw action; limit: on the summed cost of an episode of "
        f"1000 steps\nbackends: {', '.join(safety_envs.BACKENDS)}; the default here is "
        f"{safety_envs.make('safety_hopper').backend}",
        soft_wrap=True,
    )
    return OK
