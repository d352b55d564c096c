"""`espo replay`: repeat a run from its config.json and compare it with what it logged."""

import dataclasses
from pathlib import Path
from typing import Any

from espo_jax.cli.common import DIFFERENT, NONFINITE, OK, console, refusing
from espo_jax.cli.flags import parse_options
from espo_jax.loop import IterationError
from espo_jax.results import replay as repetition
from espo_jax.results.expand import require_run
from espo_jax.results.task import task_of
from espo_jax.runs import output
from espo_jax.runs.run_config import RunConfig
from espo_jax.settings import MISSING, check_settings, documented, setting


@documented
@dataclasses.dataclass(frozen=True)
class ReplayOptions:
    """What to repeat."""

    run_dir: str = setting(MISSING, "run directory of the run to repeat", positional=True)
    num_iterations: int | None = setting(None, "number of iterations to repeat", none="all that it logged")

    def __post_init__(self) -> None:
        """Check every field."""
        check_settings(self)


def command(argv: list[str]) -> int:
    """Parse the flags and repeat; returns the exit code."""
    description = (
        "Repeat a run from its config.json and compare every iteration with its metrics.jsonl; nothing is written."
    )
    return replay(parse_options(ReplayOptions, argv, "espo replay", description))


def replay(options: ReplayOptions, env: Any = None) -> int:
    """Repeat a run from its config and say whether the metrics agree; returns the exit code (1 if they do not).

    Raises:
      BadInputError: the run is not usable.
    """
    out = console()
    with refusing():
        path = Path(options.run_dir)
        require_run(path, "espo replay")
        run_config = RunConfig.read(path)
        env = task_of(run_config) if env is None else env
        if getattr(env, "backend", None) == "warp":
            out.print("backend warp is excepted from exact repetition: on a GPU it adds contact forces in any order")
        try:
            found = repetition.replay(run_config, env, path, out, num_iterations=options.num_iterations)
        except IterationError as error:
            output.say(f"{error}, in the repetition only")
            return NONFINITE
    for name, (then, now) in found.versions.items():
        out.print(f"{name} was {then}, is {now}")
    if found.first_difference is None:
        out.print(f"the same in all {found.iterations} iterations, to the bit")
        return OK
    iteration, field = found.first_difference
    out.print(f"different from iteration {iteration} on, first in {field}; largest relative differences:")
    for name, size in sorted(found.largest.items(), key=lambda item: -item[1]):
        out.print(f"  {name}: {size:.3g}")
    return DIFFERENT
