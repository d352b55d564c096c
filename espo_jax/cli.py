"""The `espo` command."""

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Column, Table

from espo_jax import algorithms, presets
from espo_jax.flags import (
    BadInputError,
    CompareOptions,
    EvalOptions,
    ExportOptions,
    Parser,
    RunOptions,
    given,
    parse,
    settings_flags,
)

OK, BAD_INPUT, NONFINITE, UNWRITABLE, INTERRUPTED, TERMINATED = 0, 2, 3, 4, 130, 143


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    0 finished, 2 bad input, 3 nan or infinity, 4 the disk takes no more, 130 Ctrl-C, 143 SIGTERM.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    commands: dict[str, Callable[[list[str]], int]] = {
        "train": _train_command,
        "eval": _eval_command,
        "export": _export_command,
        "compare": _compare_command,
        "tasks": _tasks_command,
    }
    parser = Parser(
        prog="espo",
        description="Safe reinforcement learning by sample manipulation.",
        epilog="`espo COMMAND --help` says more: train trains on a task and writes a run directory; eval judges the "
        "policy of a run; export writes it to files that run without espo_jax; compare trains several algorithms at "
        "equal iterations; tasks lists what can be trained.",
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
    with refusing():
        algorithm = algorithms.load(options.algorithm)
        if env is None:
            import safety_envs

            env = safety_envs.make(options.task, backend=options.backend, reward=options.reward)
        from espo_jax.training import job

        upkeep = ("num_timesteps", "num_eval_episodes", "eval_interval", "checkpoint_iterations", "checkpoint_minutes")
        prepared = job.prepare(
            env,
            algorithm.make,
            settings,
            task=options.task,
            algorithm=options.algorithm,
            seed=options.seed,
            run_dir=options.run_dir,
            origin={"backend": env.backend, "reward": options.reward, "preset": options.preset},
            **{name: getattr(options, name) for name in upkeep},
        )
    return _execute(prepared)


def resume(run_dir: str, changes: dict[str, Any], env: Any = None) -> int:
    """Go on with a run where its newest whole checkpoint is; returns the exit code.

    Args:
      run_dir: of the run.
      changes: flat settings; all but when to stop, to save and to evaluate must be what they are.
      env: environment to use in place of the run's task.

    Raises:
      BadInputError: before anything is compiled.
    """
    with refusing():
        from espo_jax.training import job
        from espo_jax.training.run_config import RunConfig

        path = Path(run_dir)
        about = RunConfig.read(path).changed(changes)
        algorithm = algorithms.load(about.algorithm)
        if env is None:
            import safety_envs

            env = safety_envs.make(about.task, backend=about.backend, reward=about.reward or "task")
        prepared = job.resume(about, env, algorithm.make, path)
    return _execute(prepared)


def _execute(job: Any) -> int:
    """Run a job to its end, and say how it ended."""
    from espo_jax.training import run

    console = Console()
    path = job.directory.path
    go_on = f"go on with: espo train --resume {path}"
    try:
        result = run.execute(job, console)
    except OSError as error:
        print(f"espo: {error}; what was written before is whole; {go_on}", file=sys.stderr)
        return UNWRITABLE
    if result["status"] == run.FINISHED:
        console.print(run.summary(result, path), soft_wrap=True)
        return OK
    if result["status"] == run.INTERRUPTED:
        print(f"espo: {result['message']}; {go_on}", file=sys.stderr)
        return _interrupted(result["signal"])
    print(f"espo: {result['message']}; what ran until then is in {path}", file=sys.stderr)
    return NONFINITE


def evaluate(options: EvalOptions, make_env: Callable[[str | None], Any] | None = None) -> int:
    """Judge a run's policy by fresh episodes, print the table and write it as JSON; returns the exit code.

    Args:
      options: what to judge and on what.
      make_env: backend -> environment, in place of the run's task.

    Raises:
      BadInputError: the run or an option is not usable.
    """
    with refusing():
        from espo_jax.training import files, judge
        from espo_jax.training.run_config import RunConfig

        run_dir = Path(options.run_dir)
        about = RunConfig.read(run_dir)
        backends = [name.strip() for name in options.backend.split(",")] if options.backend else [about.backend]

        def of_the_run(backend: str | None) -> Any:
            import safety_envs

            return safety_envs.make(about.task, backend=backend, reward=about.reward or "task")

        chosen = "best-safe" if options.best_safe else "last"
        name = "-".join(["eval", chosen, *(backends if options.backend else [])])
        output = Path(options.output or run_dir / f"{name}.json")
        try:
            rows = judge.judge(
                run_dir,
                make_env or of_the_run,
                backends,
                num_episodes=options.episodes,
                seed=options.seed,
                best_safe=options.best_safe,
            )
        except FloatingPointError as error:
            print(f"espo: {error}", file=sys.stderr)
            return NONFINITE
        about_rows = {"run_dir": str(run_dir), "policy": chosen, "seed": options.seed, "rows": rows}
        files.write_json(output, about_rows)
    console = Console()
    console.print(judge.table(rows, f"{about.task}, {chosen} policy of {run_dir}: {options.episodes} episodes each"))
    for line in judge.gaps(rows):
        console.print(line, highlight=False, soft_wrap=True)
    console.print(
        "reward, cost: mean ± standard error (95 % bootstrap interval); within: episodes that keep the limit; CVaR "
        f"0.1: mean cost of the worst tenth\nwritten to {output}",
        highlight=False,
        soft_wrap=True,
    )
    return OK


def export(options: ExportOptions) -> int:
    """Write a run's deterministic policy to files that run without espo_jax; returns the exit code.

    Raises:
      BadInputError: the run or an option is not usable.
    """
    with refusing():
        from espo_jax.training.export import export as write

        formats = [name.strip() for name in options.formats.split(",")]
        output = Path(options.output) if options.output else None
        for path in write(Path(options.run_dir), formats, best_safe=options.best_safe, output=output):
            print(path)
    return OK


def compare(options: CompareOptions, settings: dict[str, Any], env: Any = None) -> int:
    """Train several algorithms at equal iterations, and print and write their table; returns the exit code.

    Args:
      options: what to compare.
      settings: flat fields of Config and Hyperparams that hold for all of them; the rest is each one's preset.
      env: environment to use in place of the named task; then settings are all there is.

    Raises:
      BadInputError: before anything is compiled.
    """
    with refusing():
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
        from espo_jax.training import comparison, comparison_table, run

        job = comparison.prepare(
            env,
            chosen,
            task=options.task,
            num_seeds=options.seeds,
            run_dir=options.run_dir,
            origin={"backend": env.backend, "reward": options.reward, "preset": options.preset},
        )
    console = Console()
    result = comparison.execute(job, console)
    if result["rows"]:
        title = f"{options.task}, {job.num_iterations} iterations, {job.num_seeds} seeds vmapped: mean ± standard error"
        console.print(comparison_table.table(result["rows"], title))
        console.print(
            f"{comparison_table.EXPLANATION}\nrun directory {job.directory.path}",
            highlight=False,
            soft_wrap=True,
        )
    if result["status"] == run.INTERRUPTED:
        print(f"espo: interrupted; what finished until then is in {job.directory.path}", file=sys.stderr)
        return _interrupted(result["signal"])
    return OK if result["status"] == run.FINISHED else NONFINITE


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """What is wrong with what the user gave becomes a BadInputError."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise BadInputError(str(error)) from error


def _interrupted(signal: str | None) -> int:
    return TERMINATED if signal == "SIGTERM" else INTERRUPTED


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
    flags = settings_flags(RunOptions, defaults)
    values = vars(parse(flags, argv, "espo train", about))
    if values["resume"] is not None:
        return resume(values["resume"], {name: values[name] for name in given(flags, argv) - {"resume"}})
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


def _eval_command(argv: list[str]) -> int:
    about = "Judge the policy of a run by fresh episodes, stochastic and deterministic, on any physics."
    return evaluate(parse(EvalOptions, argv, "espo eval", about))


def _export_command(argv: list[str]) -> int:
    about = "Write the deterministic policy of a run, with its normaliser, to files that run without espo_jax."
    return export(parse(ExportOptions, argv, "espo export", about))


def _tasks_command(argv: list[str]) -> int:
    @dataclasses.dataclass
    class Tasks:
        pass

    parse(Tasks, argv, "espo tasks", "List what can be trained.")
    return tasks()


if __name__ == "__main__":
    sys.exit(main())
