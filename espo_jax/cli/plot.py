"""`espo plot`: draw runs over each other."""

import dataclasses
from pathlib import Path

from espo_jax.cli.common import OK, console, names, refusing
from espo_jax.cli.flags import parse_options
from espo_jax.results import group_plots, sweep_plots, sweep_read
from espo_jax.results.read import Run, read_run
from espo_jax.settings import MISSING, check_settings, documented, setting
from espo_jax.sweeps.folder import MANIFEST


@documented
@dataclasses.dataclass(frozen=True)
class PlotOptions:
    """What to draw."""

    run_dirs: tuple[str, ...] = setting(MISSING, "run directories, or folders of sweeps", positional=True)
    group_by: str | None = setting(
        None,
        "settings, separated by commas, whose values make the groups whose curves are averaged",
        none="algorithm; one sweep is drawn as a whole",
    )
    color_by: str | None = setting(None, "axis of a sweep that the colours of its lanes show", none="its first axis")
    x: str = setting("iteration", "horizontal axis", choices=group_plots.AXES)
    output: str = setting("plot.png", "picture to write; its suffix says which format")

    def __post_init__(self) -> None:
        """Check every field."""
        check_settings(self)


def command(argv: list[str]) -> int:
    """Parse the flags and draw; returns the exit code."""
    description = "Draw runs over each other: means over the runs of a group, with 95 % bootstrap intervals."
    return plot(parse_options(PlotOptions, argv, "espo plot", description))


def plot(options: PlotOptions) -> int:
    """Draw runs over each other, and print where each group ends; returns the exit code.

    Raises:
      BadInputError: a run or an option is not usable.
    """
    with refusing():
        if not options.run_dirs:
            raise ValueError("no run directory is given")
        is_sweep = [(Path(path) / MANIFEST).exists() for path in options.run_dirs]
        if is_sweep == [True] and options.group_by is None:
            return _plot_sweep(options)
        runs: list[Run] = []
        for path, of_sweep in zip(options.run_dirs, is_sweep, strict=True):
            runs += sweep_read.runs_of(sweep_read.read_sweep(path)) if of_sweep else [read_run(Path(path))]
        groups = group_plots.group(runs, names(options.group_by or "algorithm"))
        tasks = sorted({run.config.options.task for run in runs})
        title = f"{', '.join(tasks)}: mean and 95 % bootstrap interval"
        group_plots.draw(groups, options.output, x=options.x, title=title)
    out = console()
    out.print(group_plots.table(groups))
    out.print(f"written to {options.output}", soft_wrap=True)
    return OK


def _plot_sweep(options: PlotOptions) -> int:
    """Draw a sweep as a whole, and print its best lane."""
    sweep = sweep_read.read_sweep(options.run_dirs[0])
    tasks = sorted({row["task"] for row in sweep.rows})
    title = f"{', '.join(tasks)}: {len(sweep.rows):,} lanes"
    sweep_plots.draw(sweep, options.output, color_by=options.color_by, title=title)
    out = console()
    out.print(sweep_read.best_text(sweep), soft_wrap=True)
    out.print(f"written to {options.output}", soft_wrap=True)
    return OK
