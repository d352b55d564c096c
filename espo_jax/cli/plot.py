"""`espo plot`: draw runs over each other."""

import dataclasses
from pathlib import Path

from espo_jax.cli.common import OK, console, names, refusing
from espo_jax.cli.flags import parse_options
from espo_jax.results import group_plots
from espo_jax.results.read import read_run
from espo_jax.settings import MISSING, check_settings, documented, setting


@documented
@dataclasses.dataclass(frozen=True)
class PlotOptions:
    """What to draw."""

    run_dirs: tuple[str, ...] = setting(MISSING, "run directories", positional=True)
    group_by: str = setting(
        "algorithm", "settings, separated by commas, whose values make the groups that are averaged"
    )
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
        runs = [read_run(Path(run_dir)) for run_dir in options.run_dirs]
        groups = group_plots.group(runs, names(options.group_by))
        tasks = sorted({run.config.options.task for run in runs})
        title = f"{', '.join(tasks)}: mean and 95 % bootstrap interval"
        group_plots.draw(groups, options.output, x=options.x, title=title)
    out = console()
    out.print(group_plots.table(groups))
    out.print(f"written to {options.output}", soft_wrap=True)
    return OK
