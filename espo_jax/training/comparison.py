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
from rich.console import Console

from espo_jax import algorithms
from espo_jax.algorithms.types import Algorithm, Metrics, fetch
from espo_jax.hyperparams import Hyperparams
from espo_jax.presets import resolve
from espo_jax.training import overlay, run_directory
from espo_jax.training.comparison_table import markdown, summarize
from espo_jax.training.loggers import open_loggers, parse_names
from espo_jax.training.loop import Budget, NegativeCostError, check
from espo_jax.training.progress import progress
from espo_jax.training.run import FINISHED, INTERRUPTED, NEGATIVE_COST, NONFINITE
from espo_jax.training.run_config import RunConfig
from espo_jax.training.run_directory import CONFIG, RunDirectory
from espo_jax.training.signals import Stop, finish_first


@dataclasses.dataclass(frozen=True)
class Contestant:
    """An algorithm with its settings, checked but not compiled."""

    name: str
    algorithm: Algorithm
    hyperparams: Hyperparams
    values: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What `prepare` checked: everything but what only compiling can find."""

    contestants: tuple[Contestant, ...]
    num_seeds: int
    num_iterations: int
    task: str
    origin: Mapping[str, Any]
    log: tuple[str, ...]
    directory: RunDirectory


def prepare(
    env: Any,
    settings: Mapping[str, Mapping[str, Any]],
    *,
    task: str,
    num_seeds: int,
    log: str = "",
    run_dir: str | Path | None = None,
    origin: Mapping[str, Any] | None = None,
) -> Comparison:
    """Check everything that can be checked without compiling, then create the directory and its config.json.

    Args:
      env: one instance of the environment.
      settings: flat fields of Config and Hyperparams for each algorithm, num_iterations the same in all.
      task: name of the environment.
      num_seeds: seeds 0 to num_seeds - 1, vmapped.
      log: names of loggers for each seed, see `loggers.parse_names`.
      run_dir: folder to create; None is runs/<task>-compare-<time>.
      origin: more for config.json, such as backend and preset.

    Raises:
      ValueError: a setting or the environment is not usable.
      OSError: the directory exists, or cannot be written to.
    """
    names = parse_names(log)
    if num_seeds < 1:
        raise ValueError(f"seeds is {num_seeds}: it must be at least 1")
    contestants, resolved = [], {}
    for name, flat in settings.items():
        config, values = resolve(flat, env)
        hyperparams = Hyperparams.create(**values, config=config)
        algorithm = algorithms.load(name).make(env, config)
        algorithm.check(hyperparams)
        jax.eval_shape(algorithm.init, jax.random.key(0), hyperparams)
        contestants.append(Contestant(name, algorithm, hyperparams, values))
        resolved[name] = {"config": dataclasses.asdict(algorithm.config), "hyperparams": values}
    iterations = {int(values["hyperparams"]["num_iterations"]) for values in resolved.values()}
    if len(iterations) != 1:
        raise ValueError(f"num_iterations differs between the algorithms ({sorted(iterations)}); give one for all")
    path = Path(run_dir) if run_dir is not None else Path("runs") / f"{task}-compare-{time.strftime('%Y%m%d-%H%M%S')}"
    directory = RunDirectory(path, metrics=False)
    about = {"task": task, **(origin or {}), "num_seeds": num_seeds, "algorithms": resolved}
    directory.write_json("config.json", {**about, **run_directory.surroundings()})
    return Comparison(tuple(contestants), num_seeds, iterations.pop(), task, origin or {}, names, directory)


def execute(comparison: Comparison, console: Console) -> dict[str, Any]:
    """Train them one after the other, and leave metrics, comparison.json, table.md and curves.png behind.

    Ctrl-C and SIGTERM finish the iteration, leave out the algorithm that is not finished and stop. An algorithm with
    nan or infinity in a seed is left out, and the others go on.

    Args:
      comparison: from `prepare`.
      console: shows the progress.

    Returns:
      What comparison.json holds: status, signal, rows (one dict per finished algorithm, see `summarize`), failures.
    """
    status, failed, failures = FINISHED, NONFINITE, {}
    finished: dict[str, list[list[dict[str, Any]]]] = {}
    rows: list[dict[str, Any]] = []
    with finish_first() as stop:
        for contestant in comparison.contestants:
            console.print(f"{contestant.name} on {comparison.task}: compiling", highlight=False)
            try:
                records, seconds, compile_seconds = _train(contestant, comparison, console, stop)
            except ArithmeticError as error:
                failures[contestant.name] = str(error)
                failed = NEGATIVE_COST if isinstance(error, NegativeCostError) else NONFINITE
                console.print(f"{contestant.name} is left out: {error}", highlight=False, soft_wrap=True)
                continue
            except KeyboardInterrupt:
                status = INTERRUPTED
                break
            finished[contestant.name] = records
            rows.append({**summarize(contestant.name, records), "seconds": seconds, "compile_seconds": compile_seconds})
    result = {
        "status": failed if failures and status == FINISHED else status,
        "signal": stop.received.name if stop.received else None,
        "rows": rows,
        "failures": failures,
    }
    comparison.directory.write_json("comparison.json", result)
    if rows:
        path = comparison.directory.path
        (path / "table.md").write_text(markdown(rows), encoding="utf-8")
        title = f"{comparison.task}, {comparison.num_seeds} seeds: mean and 95 % bootstrap interval"
        overlay.draw(finished, path / "curves.png", title=title)
    return result


def _train(contestant: Contestant, comparison: Comparison, console: Console, stop: Stop) -> tuple:
    """Records [seed][iteration], wall seconds, seconds to compile; metrics.jsonl of each seed on the way."""
    algorithm, hyperparams, num_seeds = contestant.algorithm, contestant.hyperparams, comparison.num_seeds
    folders = [RunDirectory(comparison.directory.path / f"{contestant.name}-seed{seed}") for seed in range(num_seeds)]
    for seed, folder in enumerate(folders):
        about = _run_config(contestant, comparison, seed)
        folder.write_json(CONFIG, {**dataclasses.asdict(about), **run_directory.surroundings()})
        folder.loggers = open_loggers(comparison.log, folder.path, about.settings())
    begin = time.perf_counter()
    # The same keys as `espo train --seed k`.
    keys = jnp.stack([jax.random.split(jax.random.key(seed))[0] for seed in range(num_seeds)])
    state = jax.jit(jax.vmap(algorithm.init, in_axes=(0, None)))(keys, hyperparams)
    step = jax.jit(jax.vmap(algorithm.step, in_axes=(0, None))).lower(state, hyperparams).compile()
    jax.block_until_ready(state)
    compile_seconds = time.perf_counter() - begin
    seconds = 0.0
    try:
        with progress(console, Budget.create(comparison.num_iterations, None)) as display:
            for _ in range(comparison.num_iterations):
                begin = time.perf_counter()
                state, metrics = jax.block_until_ready(step(state, hyperparams))
                elapsed = time.perf_counter() - begin
                seconds += elapsed
                lanes = _lanes(fetch(metrics), num_seeds)
                for seed, (folder, lane) in enumerate(zip(folders, lanes, strict=True)):
                    try:
                        check(lane)
                    except ArithmeticError as error:
                        error.args = (f"seed {seed}, {error}",)
                        raise
                    folder.append(run_directory.record(lane, elapsed))
                display.update(_mean_record([folder.records[-1] for folder in folders]))
                stop.check()
        params = algorithm.params
        for seed, folder in enumerate(folders):
            folder.save_params(params(jax.tree.map(lambda x, seed=seed: x[seed], state)))
    finally:
        for folder in folders:
            folder.close()
    return [folder.records for folder in folders], seconds, compile_seconds


def _run_config(contestant: Contestant, comparison: Comparison, seed: int) -> RunConfig:
    """What makes a seed's folder a run directory for `espo eval`, `plot` and `load_policy`."""
    named = {"backend": None, "reward": None, "preset": None, **comparison.origin}
    return RunConfig(
        task=comparison.task,
        algorithm=contestant.name,
        **named,
        seed=seed,
        num_timesteps=None,
        num_eval_episodes=0,
        eval_interval=0,
        checkpoint_iterations=0,
        checkpoint_minutes=math.inf,
        config=dataclasses.asdict(contestant.algorithm.config),
        hyperparams=dict(contestant.values),
    )


def _lanes(metrics: Metrics, num_seeds: int) -> list[Metrics]:
    return [jax.tree.map(lambda x, seed=seed: x[seed], metrics) for seed in range(num_seeds)]


def _mean_record(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the progress shows of an iteration: means over seeds, and the modes of all."""
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
