"""`espo export-lane`: a lane of a sweep as an ordinary run directory."""

import dataclasses

from espo_jax.cli.common import OK, refusing
from espo_jax.cli.flags import parse_options
from espo_jax.runs.output import show
from espo_jax.settings import MISSING, check_settings, documented, setting
from espo_jax.sweeps.export_lane import export_lane
from espo_jax.sweeps.folder import SweepFolder


@documented
@dataclasses.dataclass(frozen=True)
class ExportLaneOptions:
    """Which lane, and where to."""

    sweep_dir: str = setting(MISSING, "folder of the sweep", positional=True)
    lane: str = setting(
        MISSING, "name of the lane, or the beginning of it; lanes.parquet has all names", positional=True
    )
    run_dir: str = setting(MISSING, "folder that is created", positional=True)

    def __post_init__(self) -> None:
        """Check every field."""
        check_settings(self)


def command(argv: list[str]) -> int:
    """Parse the flags and write the run directory; returns the exit code."""
    description = (
        "Write an ordinary run directory of a lane of a sweep: eval, report, render, export and train --resume work on "
        "it."
    )
    options = parse_options(ExportLaneOptions, argv, "espo export-lane", description)
    with refusing():
        lane = export_lane(SweepFolder.open(options.sweep_dir), options.lane, options.run_dir)
    show(f"lane {lane.id} ({lane.title}) is in {options.run_dir}")
    return OK
