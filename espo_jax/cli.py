"""The `espo` command."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Column, Table

from espo_jax import algorithms, presets
from espo_jax.flags import BadInputError, CompareOptions, Parser, RunOptions, given, parse, settings_flags

OK, BAD_INPUT, NONFINITE, INTERRUPTED = 0, 2, 3, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 finished, 2 bad input, 3 nan or infinity, 130 Ctrl-C)."""
    argv = list(sys.argv[1:] if argv is None else argv)
    commands: dict[str, Callable[[list[str]], int]] = {
        "train": _train_command,
        "compare": _compare_command,
        "tasks": _tasks_command,
    }
    parser = Parser(
        prog="espo",
        description="Safe reinforcement learning by sample manipulation.",
        epilog="`espo COMMAND --help` says more: train trains on a task and writes a run directory; compare trains "
        "several algorithms at equal iterations; tasks lists what can be trained.",
    )
    parser.add_argument("command", choices=commands)
    parser.add_argument("--version", action="version", version=f"espo_jax {version('espo_jax')}")
    try:
        # What follows the command is for the command to parse.
        return commands[parser.parse_args(argv[:1] or ["--help"]).command](argv[1:])
    except BadInputError as error:
        print(f"espo: error: {' '.join(str(error).split())}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("espo: interrupted", file=sys.stderr)
        return INTERRUPTED


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
        algorithm = algorithms.load(options.algorithm)
        if env is None:
            import safety_envs

            env = safety_envs.make(options.task, backend=options.backend, reward=options.reward)
        from espo_jax.training import run

        job = run.prepare(
            env,
            algorithm.make,
            settings,
            task=options.task,
            algorithm=options.algorithm,
            seed=options.seed,
            num_timesteps=options.num_timesteps,
            num_eval_episodes=options.num_eval_episodes,
            run_dir=options.run_dir,
            origin={"backend": env.backend, "reward": options.reward, "preset": options.preset},
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


def compare(options: CompareOptions, settings: dict[str, Any], env: Any = None) -> int:
    """Train several algorithms at equal iterations, and print and write their table; returns the exit code.

    Args:
      options: what to compare.
      settings: flat fields of Config and Hyperparams that hold for all of them; the rest is each one's preset.
      env: environment to use in place of the named task; then settings are all there is.

    Raises:
      BadInputError: before anything is compiled.
    """
    try:
        names = [name.strip() for name in options.algorithms.split(",")]
        for name in names:
            algorithms.load(name)
        if len(set(names)) < len(names):
            raise ValueError(f"algorithms is {options.algorithms!r}: it names one twice")
        chosen = {name: dict(settings) for name in names}
        if env is None:
            import safety_envs

            chosen = {name: {**presets.preset(options.preset, options.task, name), **settings} for name in names}
            env = safety_envs.make(options.task, backend=options.backend, reward=options.reward)
        from espo_jax.training import comparison, run

        job = comparison.prepare(
            env,
            chosen,
            task=options.task,
            num_seeds=options.seeds,
            run_dir=options.run_dir,
            origin={"backend": env.backend, "reward": options.reward, "preset": options.preset},
        )
    except (ValueError, OSError) as error:
        raise BadInputError(str(error)) from error

    console = Console()
    result = comparison.execute(job, console)
    if result["rows"]:
        title = f"{options.task}, {job.num_iterations} iterations, {job.num_seeds} seeds vmapped: mean ± standard error"
        console.print(comparison.table(result["rows"], title))
        console.print(
            f"reward, cost: of an episode, mean of the last {comparison.FINAL_ITERATIONS} iterations; time: of all "
            f"seeds together, without compilation; met: seeds within the limit\nrun directory {job.directory.path}",
            highlight=False,
            soft_wrap=True,
        )
    if result["status"] == run.INTERRUPTED:
        print(f"espo: interrupted; what finished until then is in {job.directory.path}", file=sys.stderr)
        return INTERRUPTED
    return OK if result["status"] == run.FINISHED else NONFINITE


def tasks() -> int:
    """List what can be trained."""
    import safety_envs

    table = Table(
        Column("task", no_wrap=True),
        "obs.",
        "act.",
        "cost of a step",
        "limit",
        "backends",
        box=box.SIMPLE,
        pad_edge=False,
    )
    for name in safety_envs.task_names():
        env = safety_envs.make(name, backend="mujoco")
        backends = [b for b in safety_envs.BACKENDS if b not in env.task.refused]
        table.add_row(
            name,
            str(env.observation_size),
            str(env.action_size),
            env.task.cost_formula.replace("[", r"\["),
            f"{env.cost_limit:g}",
            "all" if len(backends) == len(safety_envs.BACKENDS) else ", ".join(backends),
        )
    console = Console()
    console.print(table)
    console.print(
        "obs., act.: sizes of observation and action; a: the raw action; limit: on the summed cost of an episode of "
        f"1000 steps\nbackends: {', '.join(safety_envs.BACKENDS)}; the default here is "
        f"{safety_envs.make('safety_hopper').backend}",
        highlight=False,
        soft_wrap=True,
    )
    return OK


def _train_command(argv: list[str]) -> int:
    """Parse the flags of `espo train`, whose defaults are those of the task's preset, and train."""
    peek = Parser(add_help=False, allow_abbrev=False)
    peek.add_argument("--task", default=RunOptions.task)
    peek.add_argument("--algorithm", default=RunOptions.algorithm)
    peek.add_argument("--preset", default=RunOptions.preset)
    chosen, _ = peek.parse_known_args(argv)
    try:
        defaults = presets.preset(chosen.preset, chosen.task, chosen.algorithm)
    except ValueError as error:
        raise BadInputError(str(error)) from error
    about = (
        "Train on a task and write a run directory. The defaults shown are those of preset "
        f"{chosen.preset} for {chosen.task} and {chosen.algorithm}."
    )
    values = vars(parse(settings_flags(RunOptions, defaults), argv, "espo train", about))
    options = RunOptions(**{field.name: values[field.name] for field in dataclasses.fields(RunOptions)})
    return train(options, {name: value for name, value in values.items() if name not in vars(options)})


def _compare_command(argv: list[str]) -> int:
    """Parse the flags of `espo compare`: what is given holds for all algorithms."""
    flags = settings_flags(CompareOptions, {})
    about = (
        "Train several algorithms on a task at equal iterations, seeds vmapped, and write a table and the curves over "
        "each other. A setting that is given holds for all of them; every other is that of each one's preset, whatever "
        "default is shown."
    )
    values = vars(parse(flags, argv, "espo compare", about))
    options = CompareOptions(**{field.name: values[field.name] for field in dataclasses.fields(CompareOptions)})
    return compare(options, {name: values[name] for name in given(flags, argv) if name not in vars(options)})


def _tasks_command(argv: list[str]) -> int:
    @dataclasses.dataclass
    class Tasks:
        pass

    parse(Tasks, argv, "espo tasks", "List what can be trained.")
    return tasks()


if __name__ == "__main__":
    sys.exit(main())
