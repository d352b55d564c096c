"""A lane of a sweep as an ordinary run directory, on which every command works."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from espo_jax import algorithms
from espo_jax.algorithms.iteration import Algorithm
from espo_jax.algorithms.types import TrainState
from espo_jax.config import Config
from espo_jax.environments import named_env
from espo_jax.evaluation import POLICIES, Evaluation
from espo_jax.hyperparams import Hyperparams
from espo_jax.loop import Budget
from espo_jax.runs import curves, files
from espo_jax.runs.loggers import open_loggers
from espo_jax.runs.prepare import PreparedRun
from espo_jax.runs.restore import restore
from espo_jax.runs.result import INTERRUPTED, result_of
from espo_jax.runs.run import save
from espo_jax.runs.run_directory import CONFIG_FORMAT, CURVES, RESULT, RunDirectory
from espo_jax.runs.surroundings import surroundings
from espo_jax.sweeps import columns
from espo_jax.sweeps.folder import CHECKPOINTS, CONFIG, SweepFolder
from espo_jax.sweeps.group_run import RUNNING, abstract_state, identity_of
from espo_jax.sweeps.manifest import Group
from espo_jax.sweeps.plan import Lane, MakeEnv


def export_lane(
    folder: SweepFolder, name: str, run_dir: str | Path, make_env: MakeEnv = named_env, log: Sequence[str] = ()
) -> Lane:
    """Write a run directory with the settings, the metrics and the newest state of a lane.

    `espo train --resume` goes on with it to the numbers that the lane would have had.

    Args:
      folder: folder of the sweep.
      name: name of the lane, or the beginning of it.
      run_dir: folder that is created.
      make_env: (task, backend, reward, env) -> one instance of the environment, see `named_env`.
      log: names of loggers that get the metrics, see `parse_names`.

    Returns:
      The lane.

    Raises:
      ValueError: there is no such lane, it has not begun, or a file of the sweep is damaged.
      OSError: the folder exists, or cannot be written to.
    """
    group, lane = folder.find(name)
    options = lane.config.options
    env = make_env(*options.environment)
    algorithm, state = _newest(folder, group, lane, env)
    table = folder.read_metrics(group, lane=lane.id)
    constraints = folder.manifest.num_constraints
    records = columns.records_of(table.sort_by("iteration"), constraints) if table else []
    records = [record for record in records if record["iteration"] <= int(state.iteration)]

    run_config = dataclasses.replace(lane.config, config=dataclasses.asdict(algorithm.config))
    hyperparams = Hyperparams.create(**run_config.hyperparams, config=algorithm.config)
    origin = {"sweep": {"folder": str(folder.path.absolute()), "lane": lane.id}}
    directory = RunDirectory.create(
        run_dir, {"format": CONFIG_FORMAT, **run_config.as_json(), **surroundings(), **origin}
    )
    budget = Budget.create(int(run_config.hyperparams["num_iterations"]), options.num_timesteps)
    run = PreparedRun(env, algorithm, hyperparams, budget, run_config, directory)
    try:
        directory.loggers = open_loggers(log, directory.path, run_config.settings())
        for record in records:
            directory.append(record)
        with run.checkpoints() as checkpoints:
            save(run, checkpoints, state)
        row = next((row for row in folder.group_rows(group) if row[columns.LANE] == lane.id), {})
        if records and row.get("status", RUNNING) != RUNNING:
            directory.write_json(RESULT, _result(row, records, algorithm.config, constraints))
        if records:
            size = algorithm.config.base_sample_size
            about = {"title": run_config.title, "algorithm": options.algorithm}
            curves.draw(directory.records, directory.path / CURVES, base_sample_size=size, **about)
    finally:
        directory.close()
    return lane


def _newest(folder: SweepFolder, group: Group, lane: Lane, env: Any) -> tuple[Algorithm, TrainState]:
    """The algorithm of a lane, with the sizes that its group began with, and its state in the newest checkpoint.

    Raises:
      ValueError: the lane has no checkpoint yet, or a file is damaged.
    """
    path = folder.group_path(group)
    if not (path / CONFIG).exists():
        raise ValueError(f"lane {lane.id} has not begun: {folder.path} has nothing of it to export")
    fields = files.infinities(files.read_json(path / CONFIG))["config"]
    algorithm = algorithms.make(lane.config.options.algorithm, env, Config(**fields))
    restored = restore(path / CHECKPOINTS, abstract_state(algorithm, group), identity_of(group))
    if restored is None:
        raise ValueError(f"lane {lane.id} has no checkpoint yet: {folder.path} has nothing of it to export")
    place = group.lanes.index(lane)
    return algorithm, jax.tree.map(lambda x: x[place], restored.state.lanes)


def _result(row: dict[str, Any], records: list[dict[str, Any]], config: Config, num_constraints: int) -> dict[str, Any]:
    """What result.json holds."""
    evaluation = {}
    for policy in POLICIES:
        if row.get(f"{policy}_reward") is not None:
            evaluation[policy] = {"episodes": row["eval_episodes"]}
            for field in Evaluation._fields:
                values = [row[f"{policy}_{name}"] for name in columns.names_of(field, num_constraints)]
                values = [value for value in values if value is not None]
                evaluation[policy][field] = values if len(values) > 1 else values[0]
    return result_of(
        records,
        config.base_sample_size,
        status=row.get("status", INTERRUPTED),
        signal=None,
        message=row.get("message") or "",
        lost_output=None,
        compile_seconds=0.0,
        best_safe=None,
        evaluation=evaluation,
    )
