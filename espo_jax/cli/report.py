"""`espo report`: write the web page of a run."""

import dataclasses
from pathlib import Path

from espo_jax.cli.common import OK, refusing
from espo_jax.cli.flags import parse_options
from espo_jax.results import report as page
from espo_jax.results.expand import require_run
from espo_jax.runs.output import show
from espo_jax.settings import MISSING, check_settings, documented, setting


@documented
@dataclasses.dataclass(frozen=True)
class ReportOptions:
    """What to report."""

    run_dir: str = setting(MISSING, "run directory", positional=True)
    output: str | None = setting(None, "page to write", none="report.html in the run directory")
    seed: int = setting(0, "seed of the episode that plays in the page", range="[0, 2^31)")
    best_safe: bool = setting(False, "whether the best checkpoint within the limits plays instead of the last policy")
    seconds: float = setting(
        page.SECONDS, "largest length of the episode that plays, in seconds of simulated time", range="(0, inf)"
    )

    def __post_init__(self) -> None:
        """Check every field."""
        check_settings(self)


def command(argv: list[str]) -> int:
    """Parse the flags and write; returns the exit code."""
    description = (
        "Write one web page of a run that needs no network: summary, curves, modes, config, an episode that plays."
    )
    return report(parse_options(ReportOptions, argv, "espo report", description))


def report(options: ReportOptions) -> int:
    """Write the web page of a run; returns the exit code.

    Raises:
      BadInputError: the run or an option is not usable.
    """
    with refusing():
        path = Path(options.run_dir)
        require_run(path, "espo report")
        output = Path(options.output or path / "report.html")
        page.write(path, output, seed=options.seed, best_safe=options.best_safe, seconds=options.seconds)
    show(output)
    return OK
