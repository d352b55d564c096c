"""`espo export`: write the policy of a run to files that run without espo_jax."""

import dataclasses
from pathlib import Path

from espo_jax.cli.common import OK, names, refusing
from espo_jax.cli.flags import parse_options
from espo_jax.results.export import FORMATS
from espo_jax.results.export import export as write
from espo_jax.runs.output import show
from espo_jax.settings import MISSING, check_settings, documented, setting


@documented
@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """What to write."""

    run_dir: str = setting(MISSING, "run directory whose policy is written", positional=True)
    formats: str = setting("stablehlo", f"formats, separated by commas, among {', '.join(FORMATS)}")
    best_safe: bool = setting(
        False, "whether the best checkpoint within the limits is written instead of the last policy"
    )
    output: str | None = setting(None, "folder for the files", none="the run directory")

    def __post_init__(self) -> None:
        """Check every field."""
        check_settings(self)


def command(argv: list[str]) -> int:
    """Parse the flags and write; returns the exit code."""
    description = "Write the deterministic policy of a run, with its normaliser, to files that run without espo_jax."
    return export(parse_options(ExportOptions, argv, "espo export", description))


def export(options: ExportOptions) -> int:
    """Write the deterministic policy of a run to files that run without espo_jax; returns the exit code.

    Raises:
      BadInputError: the run or an option is not usable.
    """
    with refusing():
        output = Path(options.output) if options.output else None
        for path in write(Path(options.run_dir), names(options.formats), best_safe=options.best_safe, output=output):
            show(path)
    return OK
