"""What each command of `espo` does with its options; each returns the exit code."""

import contextlib
import sys
from collections.abc import Callable, Iterator
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
    PlotOptions,
    RenderOptions,
    ReplayOptions,
    ReportOptions,
    RunOptions,
)

OK, DIFFERENT, BAD_INPUT, NONFINITE, UNWRITABLE, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 4, 130, 143


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

        upkeep = (
            "num_timesteps", "num_eval_episodes", "eval_interval", "checkpoint_iterations", "checkpoint_minutes", "log",
        )  # fmt: skip
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
    return execute(prepared)


def resume(run_dir: str, changes: dict[str, Any], env: Any = None) -> int:
    """Go on with a run where its newest whole checkpoint is; returns the exit code.

    Args:
      run_dir: of the run.
      changes: flat settings; all but log and when to stop, to save and to evaluate must be what they are.
      env: environment to use in place of the run's task.

    Raises:
      BadInputError: before anything is compiled.
    """
    with refusing():
        from espo_jax.training import job
        from espo_jax.training.run_config import RunConfig

        path = Path(run_dir)
        log = changes.pop("log", "")
        about, algorithm, env = _recorded(path, env, RunConfig.read(path).changed(changes))
        prepared = job.resume(about, env, algorithm.make, path, log=log)
    return execute(prepared)


def execute(job: Any) -> int:
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


def replay(options: ReplayOptions, env: Any = None) -> int:
    """Repeat a run from its config and say whether the metrics agree; returns the exit code (1 if they do not).

    Raises:
      BadInputError: the run is not usable.
    """
    console = Console()
    with refusing():
        from espo_jax.training.loop import NonFiniteError
        from espo_jax.training.replay import replay as repeat

        if options.num_iterations is not None and options.num_iterations < 1:
            raise ValueError(f"num_iterations is {options.num_iterations}: it must be a positive integer")
        path = Path(options.run_dir)
        about, algorithm, env = _recorded(path, env)
        try:
            found = repeat(about, env, algorithm.make, path, console, num_iterations=options.num_iterations)
        except NonFiniteError as error:
            print(f"espo: {error}, in the repetition only", file=sys.stderr)
            return NONFINITE
    for name, (then, now) in found.versions.items():
        console.print(f"{name} was {then}, is {now}", highlight=False)
    if found.first_difference is None:
        console.print(f"the same in all {found.iterations} iterations, to the bit", highlight=False)
        return OK
    iteration, field = found.first_difference
    console.print(f"different from iteration {iteration} on, first in {field}; largest relative differences:")
    for name, size in sorted(found.largest.items(), key=lambda item: -item[1]):
        console.print(f"  {name}: {size:.3g}", highlight=False)
    return DIFFERENT


def _recorded(path: Path, env: Any, about: Any = None) -> tuple[Any, Any, Any]:
    """Config, algorithm module and environment of a run."""
    from espo_jax.training.run_config import RunConfig

    about = about or RunConfig.read(path)
    algorithm = algorithms.load(about.algorithm)
    if env is None:
        import safety_envs

        env = safety_envs.make(about.task, backend=about.backend, reward=about.reward or "task")
    return about, algorithm, env


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


def render(options: RenderOptions) -> int:
    """Film an episode of a run's policy; returns the exit code.

    Raises:
      BadInputError: the run or an option is not usable, or nothing can render here.
    """
    with refusing():
        from espo_jax.training import episode, policies
        from espo_jax.training.render import film

        path = Path(options.run_dir)
        _, _, env = _recorded(path, None)
        config, networks, params = policies.load(path, best_safe=options.best_safe)
        output = Path(options.output or path / "episode.mp4")
        seen = episode.record(
            env, networks, config, params, seed=options.seed, deterministic=not options.stochastic, steps=options.steps
        )
        count = film(seen, output, fps=options.fps, width=options.width, height=options.height)
    reward, cost = seen.reward.sum(), ", ".join(f"{total:.4g}" for total in seen.cost.sum(axis=0))
    print(f"{output}: {count} frames of {len(seen.reward)} steps, reward {reward:.4g}, cost {cost}")
    return OK


def report(options: ReportOptions) -> int:
    """Write a run's web page; returns the exit code.

    Raises:
      BadInputError: the run or an option is not usable.
    """
    with refusing():
        from espo_jax.training import report as page

        path = Path(options.run_dir)
        output = Path(options.output or path / "report.html")
        page.write(path, output, seed=options.seed, best_safe=options.best_safe)
    print(output)
    return OK


def plot(options: PlotOptions) -> int:
    """Draw runs over each other, and print where each group ends; returns the exit code.

    Raises:
      BadInputError: a run or an option is not usable.
    """
    with refusing():
        from espo_jax.training import overlay

        if not options.run_dirs:
            raise ValueError("no run directory is given")
        runs = [overlay.read(Path(run_dir)) for run_dir in options.run_dirs]
        groups = overlay.group(runs, [name.strip() for name in options.group_by.split(",")])
        tasks = sorted({run.config.task for run in runs})
        overlay.draw(groups, options.output, x=options.x, title=f"{', '.join(tasks)}: mean and 95 % bootstrap interval")
    console = Console()
    console.print(overlay.table(groups))
    console.print(f"written to {options.output}", highlight=False, soft_wrap=True)
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
            log=options.log,
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
