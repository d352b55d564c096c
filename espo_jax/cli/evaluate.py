"""`espo eval`: evaluate the policies of runs by fresh episodes, on any physics."""

import dataclasses
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from espo_jax.cli.common import NONFINITE, OK, BadInputError, console, names, refusing
from espo_jax.cli.flags import parse_options
from espo_jax.evaluation import MOST_EPISODES
from espo_jax.results import evaluate as evaluation
from espo_jax.results import saferleval, safety_table
from espo_jax.results.evaluated import UNCONSTRAINED, EvaluatedRun, by_algorithm, references_of, summarize_safety
from espo_jax.results.expand import is_comparison, require_run, run_directories
from espo_jax.results.safety_measures import of_training
from espo_jax.results.task import task_of
from espo_jax.runs import files, output
from espo_jax.runs.run_config import RunConfig
from espo_jax.settings import MISSING, check_settings, documented, setting


@documented
@dataclasses.dataclass(frozen=True)
class EvalOptions:
    """What to evaluate."""

    run_dir: str = setting(
        MISSING, "run directory whose policy is evaluated, or folder of a comparison", positional=True
    )
    others: tuple[str, ...] = setting(
        (), "further ones; the runs of an algorithm are then summarised over all tasks", positional=True
    )
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
    reference: str | None = setting(
        None,
        "run directory of an unconstrained algorithm, such as trpo, on the same task, whose policy is evaluated too; "
        "several, for other tasks, separated by commas: rewards are also shown as a share of its reward",
        none="no reward is normalised; of several runs those of trpo are the reference",
    )
    output: str | None = setting(None, "JSON file to write", none="a file in the run directory")

    def __post_init__(self) -> None:
        """Check every field."""
        check_settings(self)
        if self.output is not None and self.others:
            raise ValueError(f"output is {self.output!r}: it is for one run; each of several has a file in its folder")


def command(argv: list[str]) -> int:
    """Parse the flags and evaluate; returns the exit code."""
    description = (
        "Evaluate the policy of a run by fresh episodes, stochastic and deterministic, on any physics: reward, cost "
        "and the measures of safety. Of several runs each is evaluated, then the algorithms are compared."
    )
    return evaluate(parse_options(EvalOptions, argv, "espo eval", description))


def evaluate(options: EvalOptions, make_env: Callable[[str | None], Any] | None = None) -> int:
    """Evaluate the policies of runs by fresh episodes, print the tables and write them as JSON; returns the exit code.

    Args:
      options: what to evaluate and on what.
      make_env: backend -> environment, in place of the run's task.

    Raises:
      BadInputError: a run or an option is not usable.
    """
    with refusing():
        paths = [path for name in (options.run_dir, *options.others) for path in _runs_of(Path(name))]
        if len(paths) > 1 and options.output:
            raise ValueError(f"output is {options.output!r}: it is for one run, and these are {len(paths)}")
        references = {_environment(Path(name)): Path(name) for name in names(options.reference or "") if name}
        for path in paths:
            _require_reference(path, references)
    try:
        with refusing():
            last = dataclasses.replace(options, best_safe=False)  # what is unconstrained has no safe checkpoint
            of_reference = {key: _rows_of(path, last, make_env) for key, path in references.items()}
        runs = []
        for path in paths:
            with refusing():
                rows = _rows_of(path, options, make_env)
                if references:
                    evaluation.normalize(rows, of_reference[_environment(path)])
                found = _Found(path, rows, evaluation.gaps(rows), evaluation.evaluated_run(path, rows))
            runs.append(found.run)
            _show(found, options)
            _write(found, options)
    except FloatingPointError as error:
        output.say(str(error))
        return NONFINITE
    if len(runs) > 1:
        unconstrained = [evaluation.evaluated_run(references[key], rows) for key, rows in of_reference.items()]
        _show_together(runs, unconstrained)
    return OK


class _Found(NamedTuple):
    """What was found of one run: its rows, the gaps between physics, and the run with its measures."""

    path: Path
    rows: list[dict[str, Any]]
    gaps: list[dict[str, Any]]
    run: EvaluatedRun


def _runs_of(path: Path) -> list[Path]:
    """The run directories that a path stands for: itself, or those in the folder of a comparison."""
    if is_comparison(path) and (inside := run_directories(path)):
        return inside
    require_run(path, "espo eval")
    return [path]


def _environment(path: Path) -> tuple[Any, ...]:
    return RunConfig.read(path).options.environment


def _require_reference(path: Path, references: Collection[tuple[Any, ...]]) -> None:
    if references and _environment(path) not in references:
        raise ValueError(
            f"reference has no run on the task, physics and reward of {path}, {_environment(path)}: "
            f"it has {', '.join(map(str, references))}"
        )


def _rows_of(path: Path, options: EvalOptions, make_env: Callable[[str | None], Any] | None) -> list[dict[str, Any]]:
    """The rows of one run, see `espo_jax.results.evaluate.evaluate`."""
    run_config = RunConfig.read(path)
    return evaluation.evaluate(
        path,
        make_env or (lambda backend: task_of(run_config, backend)),
        names(options.backend) if options.backend else [run_config.options.backend],
        num_episodes=options.episodes,
        seed=options.seed,
        best_safe=options.best_safe,
    )


def _show(found: _Found, options: EvalOptions) -> None:
    """Print the tables of one run."""
    out, (path, rows, gaps, run) = console(), found
    task = run.config.options.task
    for table in evaluation.tables(
        rows, f"{task}, {_chosen(options)} policy of {path}: {options.episodes} episodes each"
    ):
        out.print(table)
    if run.records:
        cells = safety_table.training_cells(run.config.options.algorithm, summarize_safety([run]))
        out.print(safety_table.printed(safety_table.filled([cells]), "Safety of training"))
    for gap in gaps:
        out.print(evaluation.gap_text(gap), soft_wrap=True)
    if options.reference and any(row["normalized_reward"] is None for row in rows):
        out.print("the reward of the unconstrained policy is not positive: a share of it says nothing", soft_wrap=True)
    out.print(
        f"reward, cost: mean ± standard error (95 % bootstrap interval); {safety_table.OF_EPISODES}. Of training: "
        f"{safety_table.OF_TRAINING}",
        soft_wrap=True,
    )


def _write(found: _Found, options: EvalOptions) -> None:
    """Write what was found of one run as JSON, and as the table that SafeRLEval reads.

    Raises:
      BadInputError: the file that was asked for cannot be written.
    """
    path, rows, gaps, run = found
    seed = [f"seed{options.seed}"] if options.seed else []
    name = "-".join(["eval", _chosen(options), *(names(options.backend) if options.backend else []), *seed])
    target = Path(options.output or path / f"{name}.json")
    written = {
        "run_dir": str(path),
        "policy": _chosen(options),
        "seed": options.seed,
        "rows": rows,
        "gaps": gaps,
        "training": of_training(run.records) if run.records else None,
    }
    try:
        files.write_json(target, written)
        saferleval.write([run], target.with_name(f"{target.stem}_summary.csv"))
    except OSError as error:
        if options.output:
            raise BadInputError(str(error)) from error
        output.warn(f"{error}; --output names another file")
    else:
        console().print(f"written to {target} and {target.stem}_summary.csv", soft_wrap=True)


def _show_together(runs: Sequence[EvaluatedRun], unconstrained: Sequence[EvaluatedRun]) -> None:
    """Print the safety of several runs by algorithm."""
    reference = references_of(unconstrained or [run for run in runs if run.config.options.algorithm == UNCONSTRAINED])
    safeties = {name: summarize_safety(of_name, reference) for name, of_name in by_algorithm(runs).items()}
    out = console()
    for table in safety_table.tables(safeties):
        out.print(table)
    out.print(safety_table.OF_RUNS, soft_wrap=True)


def _chosen(options: EvalOptions) -> str:
    return "best-safe" if options.best_safe else "last"
