"""Commands that show what there is: eval, plot, report, render, export, tasks; each returns the exit code."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Column, Table

from espo_jax.commands import common
from espo_jax.commands.common import NONFINITE, OK, recorded, refusing
from espo_jax.options import EvalOptions, ExportOptions, PlotOptions, RenderOptions, ReportOptions


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
        seed = [f"seed{options.seed}"] if options.seed else []
        name = "-".join(["eval", chosen, *(backends if options.backend else []), *seed])
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
        about_rows: dict[str, Any] = {
            "run_dir": str(run_dir),
            "policy": chosen,
            "seed": options.seed,
            "rows": rows,
            "gaps": judge.gaps(rows),
        }
        files.write_json(output, about_rows)
    console = common.console()
    console.print(judge.table(rows, f"{about.task}, {chosen} policy of {run_dir}: {options.episodes} episodes each"))
    for gap in about_rows["gaps"]:
        console.print(judge.gap_text(gap), highlight=False, soft_wrap=True)
    console.print(
        "reward, cost: mean ± standard error (95 % bootstrap interval); within: episodes that keep the limit; CVaR "
        f"0.1: mean cost of the worst tenth\nwritten to {output}",
        highlight=False,
        soft_wrap=True,
    )
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
    console = common.console()
    console.print(overlay.table(groups))
    console.print(f"written to {options.output}", highlight=False, soft_wrap=True)
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


def render(options: RenderOptions) -> int:
    """Film an episode of a run's policy; returns the exit code.

    Raises:
      BadInputError: the run or an option is not usable, or nothing can render here.
    """
    with refusing():
        from espo_jax.training import episode, policies
        from espo_jax.training.render import film

        path = Path(options.run_dir)
        _, _, env = recorded(path, None)
        config, networks, params = policies.load(path, best_safe=options.best_safe)
        output = Path(options.output or path / "episode.mp4")
        seen = episode.record(
            env, networks, config, params, seed=options.seed, deterministic=not options.stochastic, steps=options.steps
        )
        count = film(seen, output, fps=options.fps, width=options.width, height=options.height)
    reward, cost = seen.reward.sum(), ", ".join(f"{total:.4g}" for total in seen.cost.sum(axis=0))
    print(f"{output}: {count} frames of {len(seen.reward)} steps, reward {reward:.4g}, cost {cost}")
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
    console = common.console()
    console.print(table)
    console.print(
        "obs., act.: sizes of observation and action; a: the raw action; limit: on the summed cost of an episode of "
        f"1000 steps\nbackends: {', '.join(safety_envs.BACKENDS)}; the default here is "
        f"{safety_envs.make('safety_hopper').backend}",
        highlight=False,
        soft_wrap=True,
    )
    return OK
