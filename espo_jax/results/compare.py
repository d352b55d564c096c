"""Several algorithms on one task at equal iterations, seeds vmapped: the paper's Table 1 and Figure 2 as a command."""

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from espo_jax import algorithms
from espo_jax.algorithms.iteration import Algorithm
from espo_jax.algorithms.metrics import Metrics
from espo_jax.hyperparams import Hyperparams
from espo_jax.loop import Budget, IterationError, NegativeCostError, iterate, over_seeds, start
from espo_jax.presets import resolve
from espo_jax.results import group_plots
from espo_jax.results.compare_table import markdown, summarize_runs
from espo_jax.runs import files, output
from espo_jax.runs.loggers import open_loggers, parse_names
from espo_jax.runs.options import RunOptions, TrainingOptions
from espo_jax.runs.output import Console
from espo_jax.runs.progress import progress
from espo_jax.runs.records import record
from espo_jax.runs.result import FINISHED, INTERRUPTED, NEGATIVE_COST, NONFINITE
from espo_jax.runs.run_config import RunConfig
from espo_jax.runs.run_directory import CONFIG_FORMAT, RunDirectory, create_numbered
from espo_jax.runs.signals import Stop
from espo_jax.runs.surroundings import surroundings
from espo_jax.settings import documented, setting


@documented
@dataclasses.dataclass(frozen=True)
class CompareOptions(TrainingOptions):
    """Options of a comparison.

    Raises:
      ValueError: naming the field, its value and what is allowed.
    """

    algorithms: str = setting("espo,crpo,pcrpo", "names of the algorithms, separated by commas")
    seeds: int = setting(3, "number of seeds of each algorithm; they are vmapped in one program")

    @property
    def names(self) -> list[str]:
        """Names of the algorithms."""
        return [name.strip() for name in self.algorithms.split(",")]


@dataclasses.dataclass(frozen=True)
class Contestant:
    """An algorithm with its settings, checked but not compiled."""

    name: str
    algorithm: Algorithm
    hyperparams: Hyperparams
    values: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A comparison that was checked as far as is possible without compiling."""

    contestants: tuple[Contestant, ...]
    num_iterations: int
    options: CompareOptions
    loggers: tuple[str, ...]
    directory: RunDirectory


def prepare(env: Any, settings: Mapping[str, Mapping[str, Any]], options: CompareOptions) -> Comparison:
    """Check everything that can be checked without compiling, then create the directory and its config.json.

    Args:
      env: one instance of the environment.
      settings: flat fields of Config and Hyperparams for each algorithm, num_iterations the same in all.
      options: options of the comparison.

    Raises:
      ValueError: a setting or the environment is not usable.
      OSError: the directory exists, or cannot be written to.
    """
    loggers = parse_names(options.log)
    contestants = []
    for name, flat in settings.items():
        config, values = resolve(flat, env)
        hyperparams = Hyperparams.create(**values, config=config)
        algorithm = algorithms.make(name, env, config)
        algorithm.check(hyperparams)
        jax.eval_shape(algorithm.init, jax.random.key(0), hyperparams)
        contestants.append(Contestant(name, algorithm, hyperparams, values))
    iterations = {int(contestant.values["num_iterations"]) for contestant in contestants}
    if len(iterations) != 1:
        raise ValueError(f"num_iterations differs between the algorithms ({sorted(iterations)}); give one for all")
    options = dataclasses.replace(options, backend=getattr(env, "backend", None))
    described = {
        "format": CONFIG_FORMAT,
        **{name: getattr(options, name) for name in ("task", "backend", "reward", "preset")},
        "num_seeds": options.seeds,
        "algorithms": {
            c.name: {"config": dataclasses.asdict(c.algorithm.config), "hyperparams": c.values} for c in contestants
        },
    }
    described |= surroundings()
    if options.run_dir is None:
        directory = create_numbered(_default_path(options.task), described, metrics=False)
    else:
        directory = RunDirectory.create(options.run_dir, described, metrics=False)
    return Comparison(tuple(contestants), iterations.pop(), options, loggers, directory)


def execute(comparison: Comparison, console: Console, stop: Stop | None = None) -> dict[str, Any]:
    """Train them one after the other, and leave metrics, comparison.json, table.md and curves.png behind.

    After a signal that `stop` records the algorithm that is not finished is left out. An algorithm with nan, infinity
    or a negative cost in a seed is left out, and the others go on.

    Args:
      comparison: from `prepare`.
      console: shows the progress.
      stop: from `signals.finish_first`; None stands for no signals.

    Returns:
      What comparison.json holds: status, signal, lost_output (why the console could not be written; None if it could),
      rows (one dict per finished algorithm, see `summarize_runs`), failures.
    """
    status, failed, failures = FINISHED, NONFINITE, {}
    finished: dict[str, list[list[dict[str, Any]]]] = {}
    rows: list[dict[str, Any]] = []
    options = comparison.options
    stop = stop or Stop()
    stop.at_once = False  # but while a program is compiled
    for contestant in comparison.contestants:
        console.print(f"{contestant.name} on {options.task}: compiling")
        try:
            records, seconds, compile_seconds = _train(contestant, comparison, console, stop)
        except IterationError as error:
            failures[contestant.name] = f"seed {error.lane}, {error}"
            failed = NEGATIVE_COST if isinstance(error, NegativeCostError) else NONFINITE
            reason = failures[contestant.name]
            console.print(f"{contestant.name} is left out: {reason}", soft_wrap=True)
            continue
        except KeyboardInterrupt:
            status = INTERRUPTED
            break
        finished[contestant.name] = records
        times = {"seconds": seconds, "compile_seconds": compile_seconds}
        rows.append({**summarize_runs(contestant.name, records), **times})
    result = {
        "status": failed if failures and status == FINISHED else status,
        "signal": stop.received.name if stop.received else None,
        "lost_output": output.lost(),
        "rows": rows,
        "failures": failures,
    }
    comparison.directory.write_json("comparison.json", result)
    if rows:
        path = comparison.directory.path
        files.write(path / "table.md", markdown(rows).encode())
        title = f"{options.task}, {options.seeds} seeds: mean and 95 % bootstrap interval"
        group_plots.draw(finished, path / "curves.png", title=title)
    return result


def _train(contestant: Contestant, comparison: Comparison, console: Console, stop: Stop) -> tuple:
    """Train the seeds of one algorithm and write their metrics.jsonl.

    Returns:
      Records [seed][iteration], wall seconds, seconds to compile.
    """
    seeds = range(comparison.options.seeds)
    folders = [_seed_directory(contestant, comparison, seed) for seed in seeds]
    # The same keys as `espo train --seed k`.
    keys = jnp.stack([jax.random.split(jax.random.key(seed))[0] for seed in seeds])
    algorithm = over_seeds(contestant.algorithm)
    budget = Budget.create(comparison.num_iterations, None)
    try:
        stop.check()
        stop.at_once = True
        state, step, compile_seconds = start(algorithm, contestant.hyperparams, keys, donate=True)
        stop.at_once = False
        seconds = 0.0
        with progress(console, budget) as display:
            for iteration in iterate(step, state, contestant.hyperparams, budget):
                state = iteration.state
                seconds += iteration.seconds
                for folder, lane in zip(folders, _lanes(iteration.metrics, len(seeds)), strict=True):
                    folder.append(record(lane, iteration.seconds))
                display.update(_mean_record([folder.records[-1] for folder in folders]))
                stop.check()
        params = jax.device_get(algorithm.params(state))
        for seed, folder in zip(seeds, folders, strict=True):
            folder.save_params(jax.tree.map(lambda x, seed=seed: x[seed], params))
    finally:
        for folder in folders:
            folder.close()
    return [folder.records for folder in folders], seconds, compile_seconds


def _seed_directory(contestant: Contestant, comparison: Comparison, seed: int) -> RunDirectory:
    """A run directory for one seed, for `espo eval`, `plot` and `load_policy`."""
    options = comparison.options
    run_options = RunOptions(
        task=options.task, backend=options.backend, reward=options.reward, preset=options.preset,
        algorithm=contestant.name, seed=seed, num_eval_episodes=0, eval_interval=0, checkpoint_iterations=0,
        checkpoint_minutes=math.inf,
    )  # fmt: skip
    config = RunConfig(run_options, dataclasses.asdict(contestant.algorithm.config), dict(contestant.values))
    folder = RunDirectory.create(
        comparison.directory.path / f"{contestant.name}-seed{seed}",
        {"format": CONFIG_FORMAT, **config.as_json(), **surroundings()},
    )
    folder.loggers = open_loggers(comparison.loggers, folder.path, config.settings())
    return folder


def _default_path(task: str) -> Path:
    """runs/<task>-compare-<local time>."""
    return Path("runs") / f"{task}-compare-{time.strftime('%Y%m%d-%H%M%S')}"


def _lanes(metrics: Metrics, num_seeds: int) -> list[Metrics]:
    return [jax.tree.map(lambda x, seed=seed: x[seed], metrics) for seed in range(num_seeds)]


def _mean_record(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the progress shows: means over seeds, and the modes of all seeds."""
    first = records[0]

    def mean(name: str) -> Any:
        return np.mean([np.atleast_1d(r[name]) for r in records], axis=0).squeeze().tolist()

    return {
        **first,
        **{name: mean(name) for name in ("episode_reward", "episode_cost")},
        **{name: round(mean(name)) for name in ("env_steps", "sample_size")},
        "steps_per_second": sum(r["steps_per_second"] for r in records),
        "mode": "/".join(r["mode"] for r in records),
    }
