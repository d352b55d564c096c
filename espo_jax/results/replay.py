"""A run is repeated from its config.json, and every iteration is compared with its metrics.jsonl."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from espo_jax.hyperparams import Hyperparams
from espo_jax.loop import Budget, iterate, start
from espo_jax.presets import resolve
from espo_jax.results.read import read_run
from espo_jax.runs import files, policies, warm_start
from espo_jax.runs.files import DamagedError
from espo_jax.runs.output import Console
from espo_jax.runs.progress import progress
from espo_jax.runs.records import record
from espo_jax.runs.run_config import RunConfig
from espo_jax.runs.run_directory import CONFIG, POLICY
from espo_jax.runs.surroundings import surroundings

_NOT_REPEATED = ("steps_per_second",)  # depends on the time that it took


class Agreement(NamedTuple):
    """The result of a repetition.

    Args:
      iterations: number of iterations that were compared.
      first_difference: iteration and field of the first difference, to the bit; None if there is none.
      largest: field -> largest relative difference over the iterations, for fields that differ.
      versions: package -> (version then, version now), for packages that differ.
    """

    iterations: int
    first_difference: tuple[int, str] | None
    largest: dict[str, float]
    versions: dict[str, tuple[str, str]]


def replay(
    run_config: RunConfig, env: Any, run_dir: Path, console: Console, *, num_iterations: int | None = None
) -> Agreement:
    """Repeat the iterations of a run and compare each with the line of metrics.jsonl; nothing is written.

    Args:
      run_config: from `RunConfig.read`.
      env: one instance of the environment.
      run_dir: folder of the run.
      console: shows the progress.
      num_iterations: number of iterations to compare; None stands for all that were logged.

    Raises:
      ValueError: the run directory cannot be read, or there is nothing to compare.
      NonFiniteError: the repetition gave nan or infinity where the run did not.
    """
    records = {line["iteration"]: line for line in read_run(run_dir).records}
    last = min(num_iterations or max(records), max(records))
    if not any(number <= last for number in records):
        raise DamagedError(f"{run_dir} has no line of the first {last} iterations that can be read")
    if run_config.unknown:
        unknown = ", ".join(run_config.unknown)
        raise DamagedError(f"{run_dir / CONFIG} has settings that this version does not know: {unknown}")
    if (run_dir / POLICY).exists():
        policies.load(run_dir)  # networks of the size that the config claims
    config, values = resolve(run_config.settings(), env)
    hyperparams = Hyperparams.create(**values, config=config)
    algorithm = warm_start.make(run_config.options, env, config)
    key, _ = jax.random.split(jax.random.key(run_config.options.seed))
    console.print(f"{run_config.title}: compiling, to repeat {last} iterations")
    state, step, _ = start(algorithm, hyperparams, key, donate=True)
    first: tuple[int, str] | None = None
    largest: dict[str, float] = {}
    budget = Budget.create(last, None)
    with progress(console, budget) as display:
        for iteration in iterate(step, state, hyperparams, budget):
            again = files.strict(record(iteration.metrics, iteration.seconds))
            recorded = records.get(again["iteration"], {})  # a line that cannot be read is not compared
            for name, difference in differences(files.strict(recorded), again).items():
                first = first or (recorded["iteration"], name)
                largest[name] = max(largest.get(name, 0.0), difference)
            display.update(files.infinities(again))
    then = files.read_json(run_dir / CONFIG).get("versions")
    now = surroundings()["versions"]
    changed = {n: (then.get(n, "?"), v) for n, v in now.items() if then.get(n) != v} if isinstance(then, dict) else {}
    return Agreement(sum(number <= last for number in records), first, largest, changed)


def differences(recorded: dict[str, Any], again: dict[str, Any]) -> dict[str, float]:
    """Fields of both lines that differ, with the difference relative to the larger value; 1 for other types."""
    found: dict[str, float] = {}
    for name in recorded:
        if name in _NOT_REPEATED or name not in again or recorded[name] == again[name]:
            continue
        try:
            a, b = (np.asarray(line[name], float) for line in (recorded, again))
            scale = np.maximum(np.maximum(np.abs(a), np.abs(b)), np.finfo(float).tiny)
            found[name] = float(np.max(np.abs(a - b) / scale))
        except (KeyError, TypeError, ValueError):
            found[name] = 1.0
    return found
