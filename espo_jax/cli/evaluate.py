"""`espo eval`: evaluate the policy of a run by fresh episodes, on any physics."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from espo_jax.cli.common import NONFINITE, OK, BadInputError, console, names, refusing
from espo_jax.cli.flags import parse_options
from espo_jax.evaluation import MOST_EPISODES
from espo_jax.results import evaluate as evaluation
from espo_jax.results.task import task_of
from espo_jax.runs import files, output
from espo_jax.runs.run_config import RunConfig
from espo_jax.settings import MISSING, check_settings, documented, setting


@documented
@dataclasses.dataclass(frozen=True)
class EvalOptions:
    """What to evaluate."""

    run_dir: str = setting(MISSING, "run directory whose policy is evaluated", positional=True)
    episodes: int = setting(100, "number of episodes of each policy on each physics", range=f"[1, {MOST_EPISODES}]")
    backend: str | None = setting(
        None,
        "physics, several separated by commas; the first is what the others are compared with",
        none="that of the run",
    )
    seed: int = setting(0, "seed of resets and actions", range="[0, 2^31)")
    best_safe: bool = setting(
        False, "whether the best checkpoint within the limits is evaluated instead of the last policy"
    )
    output: str | None = setting(None, "JSON file to write", none="a file in the run directory")

    def __post_init__(self) -> None:
        """Check every field."""
        check_settings(self)


def command(argv: list[str]) -> int:
    """Parse the flags and evaluate; returns the exit code."""
    description = "Evaluate the policy of a run by fresh episodes, stochastic and deterministic, on any physics."
    return evaluate(parse_options(EvalOptions, argv, "espo eval", description))


def evaluate(options: EvalOptions, make_env: Callable[[str | None], Any] | None = None) -> int:
    """Evaluate the policy of a run by fresh episodes, print the table and write it as JSON; returns the exit code.

    Args:
      options: what to evaluate and on what.
      make_env: backend -> environment, in place of the run's task.

    Raises:
      BadInputError: the run or an option is not usable.
    """
    with refusing():
        run_dir = Path(options.run_dir)
        run_config = RunConfig.read(run_dir)
        backends = names(options.backend) if options.backend else [run_config.options.backend]
        chosen = "best-safe" if options.best_safe else "last"
        seed = [f"seed{options.seed}"] if options.seed else []
        name = "-".join(["eval", chosen, *(names(options.backend) if options.backend else []), *seed])
        path = Path(options.output or run_dir / f"{name}.json")
        try:
            rows = evaluation.evaluate(
                run_dir,
                make_env or (lambda backend: task_of(run_config, backend)),
                backends,
                num_episodes=options.episodes,
                seed=options.seed,
                best_safe=options.best_safe,
            )
        except FloatingPointError as error:
            output.say(str(error))
            return NONFINITE
        gaps = evaluation.gaps(rows)
    out = console()
    title = f"{run_config.options.task}, {chosen} policy of {run_dir}: {options.episodes} episodes each"
    out.print(evaluation.table(rows, title))
    for gap in gaps:
        out.print(evaluation.gap_text(gap), soft_wrap=True)
    out.print(
        "reward, cost: mean ± standard error (95 % bootstrap interval); within: episodes that keep the limit; CVaR "
        "0.1: mean cost of the worst tenth",
        soft_wrap=True,
    )
    written = {"run_dir": str(run_dir), "policy": chosen, "seed": options.seed, "rows": rows, "gaps": gaps}
    try:
        files.write_json(path, written)
    except OSError as error:
        if options.output:
            raise BadInputError(str(error)) from error
        output.warn(f"{error}; --output names another file")
    else:
        out.print(f"written to {path}", soft_wrap=True)
    return OK
