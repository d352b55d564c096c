"""The `espo` command."""

import argparse
import contextlib
import dataclasses
import importlib
import inspect
import io
import re
import sys
import typing
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from espo_jax import presets
from espo_jax.config import (
    CONFLICT_METRICS,
    CRITIC_OPTIMIZERS,
    HYPERPARAM_DEFAULTS,
    SAMPLE_SIZE_RULES,
    Config,
    Hyperparams,
)

# Modules with make(env, config); imported when chosen, as are the tasks: physics take seconds to import.
ALGORITHMS = {"espo": "espo_jax.algorithms.espo"}

OK, BAD_INPUT, NONFINITE, INTERRUPTED = 0, 2, 3, 130

_CHOICES = {
    "sample_size_rule": SAMPLE_SIZE_RULES,
    "conflict_metric": CONFLICT_METRICS,
    "critic_optimizer": CRITIC_OPTIMIZERS,
}
# Where the command line means more than the field.
_EXTRA_HELP = {
    "num_iterations": "iterations to run; also",
    "cost_limit": "(if not given: the task's own)",
    "max_zeta_positive": "(if not given: zeta-positive)",
}


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """What a run is of; the rest of its flags are the fields of Config and Hyperparams.

    Args:
      task: what to train on, see `espo tasks`.
      algorithm: what to train with.
      backend: physics, see `espo tasks`.
      preset: where settings that are not given come from.
      seed: of all randomness.
      num_timesteps: stop when this many samples are taken, if that is before num-iterations.
      num_eval_episodes: episodes of the final evaluation; 0 leaves it out.
      run_dir: folder to create for the results (if not given: runs/<task>-<algorithm>-seed<seed>-<time>).
    """

    task: str = "safety_reacher"
    algorithm: str = "espo"
    backend: str = "spring"
    preset: str = "paper"
    seed: int = 0
    num_timesteps: int | None = None
    num_eval_episodes: int = 20
    run_dir: str | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 finished, 2 bad input, 3 nan or infinity, 130 Ctrl-C)."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv == ["--version"]:
        print(f"espo_jax {version('espo_jax')}")
        return OK
    try:
        with _one_line_errors():
            command, arguments = tyro.extras.subcommand_cli_from_dict(
                _commands(argv),
                prog="espo",
                description="Safe reinforcement learning by sample manipulation. `espo --version` says which.",
                args=argv or ["--help"],
            )
        return command(arguments)
    except BadInputError as error:
        print(f"espo: error: {' '.join(str(error).split())}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("espo: interrupted", file=sys.stderr)
        return INTERRUPTED


class BadInputError(Exception):
    """Something the user gave is not usable; the message says what and what is."""


def train(options: RunOptions, settings: dict[str, Any], env: Any = None) -> int:
    """Train, and write a run directory; returns the exit code.

    Args:
      options: what to run.
      settings: flat fields of Config and Hyperparams.
      env: environment to use in place of the named task.

    Raises:
      BadInputError: before anything is compiled.
    """
    try:
        if options.algorithm not in ALGORITHMS:
            known = ", ".join(ALGORITHMS)
            raise ValueError(f"unknown algorithm {options.algorithm!r}; known algorithms: {known}")
        if env is None:
            import safety_envs

            env = safety_envs.make(options.task, backend=options.backend)
        from espo_jax.training import run

        job = run.prepare(
            env,
            importlib.import_module(ALGORITHMS[options.algorithm]).make,
            settings,
            task=options.task,
            algorithm=options.algorithm,
            seed=options.seed,
            num_timesteps=options.num_timesteps,
            num_eval_episodes=options.num_eval_episodes,
            run_dir=options.run_dir,
            origin={"backend": options.backend, "preset": options.preset},
        )
    except (ValueError, OSError) as error:
        raise BadInputError(str(error)) from error

    console = Console()
    result = run.execute(job, console)
    if result["status"] == run.FINISHED:
        console.print(run.summary(result, job.directory.path), soft_wrap=True)
        return OK
    print(f"espo: {result['message']}; what ran until then is in {job.directory.path}", file=sys.stderr)
    return INTERRUPTED if result["status"] == run.INTERRUPTED else NONFINITE


def tasks() -> int:
    """List what can be trained."""
    import safety_envs

    table = Table("task", "observation", "action", "cost limit", "episode length")
    for name in safety_envs.task_names():
        env = safety_envs.make(name)
        sizes = (env.observation_size, env.action_size, env.cost_limit, env.episode_length)
        table.add_row(name, *(f"{size:g}" for size in sizes))
    console = Console()
    console.print(table)
    console.print(f"backends: {', '.join(safety_envs.BACKENDS)}", highlight=False)
    return OK


def _commands(argv: Sequence[str]) -> dict[str, Callable[..., tuple[Callable, Any]]]:
    """The subcommands: each gives what to call, and with what, once all of the input is parsed."""
    options_type, defaults = _train_options(argv)

    def train_command(options: Annotated[Any, ...]) -> tuple[Callable, Any]:
        """Train an algorithm on a task and write a run directory.

        Settings that are not given come from the task's preset, whose values are the defaults shown here.
        """
        values = dataclasses.asdict(options)
        run_options = RunOptions(**{field.name: values.pop(field.name) for field in dataclasses.fields(RunOptions)})
        if isinstance(defaults, ValueError):
            # An unknown task is the better message where it is also why there is no preset.
            return lambda _: _refuse(run_options, defaults), None
        return lambda _: train(run_options, values), None

    def tasks_command() -> tuple[Callable, Any]:
        """List what can be trained."""
        return lambda _: tasks(), None

    train_command.__annotations__["options"] = tyro.conf.OmitArgPrefixes[options_type]
    return {"train": train_command, "tasks": tasks_command}
