"""`espo plot`: draw runs over each other."""

import dataclasses
from pathlib import Path

from espo_jax.cli.common import OK, console, names, refusing
from espo_jax.cli.flags import parse_options
from espo_jax.results import expand, group_plots, group_table, groups, sweep_plots, sweep_read
from espo_jax.settings import MISSING, check_settings, documented, setting


@documented
@dataclasses.dataclass(frozen=True)
class PlotOptions:
    """What to draw."""

    run_dirs: tuple[str, ...] = setting(
        MISSING,
        "run directories, or folders of comparisons, sweeps or runs, which stand for all their runs",
        positional=True,
    )
    group_by: str | None = setting(
        None,
        "settings, separated by commas, whose values make the groups whose curves are averaged; runs of a group may "
        "differ in their seed only",
        none="algorithm; one sweep is drawn as a whole",
    )
    color_by: str | None = setting(None, "axis of a sweep that the colours of its lanes show", none="its first axis")
    x: str = setting("iteration", "horizontal axis", choices=groups.AXES)
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
        paths = [expand.sweep_of(Path(path)) for path in options.run_dirs]
        is_whole = len(paths) == 1 and expand.is_sweep(paths[0]) and not expand.is_comparison(paths[0])
        if is_whole and options.group_by is None:
            return _plot_sweep(options, paths[0])
        if options.color_by is not None:
            raise ValueError(f"color_by is {options.color_by!r}: it is for a sweep that is drawn as a whole")
        runs = [run for path in paths for run in expand.runs_in(path)]
        grouped = groups.group(runs, names(options.group_by or "algorithm"))
        tasks = sorted({run.config.options.task for run in runs})
        group_plots.draw(grouped, options.output, x=options.x, title=", ".join(tasks))
        left_out = groups.lengths(grouped, options.x)
    out = console()
    out.print(group_table.table(grouped, options.x))
    if left_out:
        out.print(left_out, soft_wrap=True)
    out.print(f"written to {options.output}", soft_wrap=True)
    return OK


def _plot_sweep(options: PlotOptions, path: Path) -> int:
    """Draw a sweep as a whole, and print its best lane."""
    sweep = sweep_read.read_sweep(path)
    tasks = sorted({row["task"] for row in sweep.rows})
    if len(tasks) > 1:
        raise ValueError(
            f"the lanes of {path} have different tasks ({', '.join(tasks)}), whose rewards and costs have no common "
            f"scale: --group-by {','.join(sweep.axes)} draws each apart"
        )
    title = f"{', '.join(tasks)}: {len(sweep.rows):,} lanes"
    sweep_plots.draw(sweep, options.output, color_by=options.color_by, title=title)
    out = console()
    out.print(sweep_read.best_text(sweep), soft_wrap=True)
    out.print(f"written to {options.output}", soft_wrap=True)
    return OK
