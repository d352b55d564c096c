"""A prepared run: everything is checked and the folder exists, but nothing is compiled. It is new, or it goes on."""

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from espo_jax.algorithms.iteration import Algorithm
from espo_jax.config import Config
from espo_jax.hyperparams import Hyperparams
from espo_jax.loop import Budget
from espo_jax.parallel import over_devices
from espo_jax.presets import resolve
from espo_jax.runs import warm_start
from espo_jax.runs.checkpoints import Checkpoints, Restored, Schedule
from espo_jax.runs.files import DamagedError, read_json
from espo_jax.runs.loggers import open_loggers, parse_names
from espo_jax.runs.options import RunOptions
from espo_jax.runs.place import default_path
from espo_jax.runs.restore import restore
from espo_jax.runs.run_config import RunConfig
from espo_jax.runs.run_directory import (
    BEST_POLICY,
    CHECKPOINTS,
    CONFIG,
    CONFIG_FORMAT,
    METRICS,
    RESULT,
    RunDirectory,
    create_numbered,
)
from espo_jax.runs.surroundings import surroundings


@dataclasses.dataclass(frozen=True)
class PreparedRun:
    """What `run.execute` runs.

    Attributes:
      env: one instance of the environment.
      algorithm, hyperparams, budget: the checked algorithm, hyperparameters and budget.
      config: settings as config.json has them.
      directory: folder of the run.
      restored: the checkpoint from which the run goes on; None for a new run.
    """

    env: Any
    algorithm: Algorithm
    hyperparams: Hyperparams
    budget: Budget
    config: RunConfig
    directory: RunDirectory
    restored: Restored | None = None

    def checkpoints(self) -> Checkpoints:
        """The writer of the run's checkpoints."""
        options = self.config.options
        schedule = Schedule(options.checkpoint_iterations, options.checkpoint_minutes)
        return Checkpoints(self.directory.path / CHECKPOINTS, schedule, self.config.identity(), self.restored)


def new_run(env: Any, settings: Mapping[str, Any], options: RunOptions) -> PreparedRun:
    """Check everything that can be checked without compiling, then create the run directory and its config.json.

    Args:
      env: one instance of the environment.
      settings: flat fields of Config and Hyperparams; num_iterations is also the number of iterations to run.
      options: options of the run.

    Raises:
      ValueError: a setting or the environment is not usable.
      OSError: the run directory exists, or cannot be written to.
    """
    config, values = resolve(settings, env)
    algorithm, hyperparams, budget = _check(env, config, values, options)
    # Only for new runs: a run that an earlier version began without this check can be finished.
    algorithm.check(hyperparams)
    options = dataclasses.replace(options, backend=getattr(env, "backend", None))
    run_config = RunConfig(options, dataclasses.asdict(algorithm.config), values)
    names = parse_names(options.log)
    described = {"format": CONFIG_FORMAT, **run_config.as_json(), **surroundings()}
    if options.run_dir is None:
        directory = create_numbered(default_path(options.task, options.algorithm, options.seed), described)
    else:
        directory = RunDirectory.create(options.run_dir, described)
    try:
        directory.loggers = open_loggers(names, directory.path, run_config.settings())
    except OSError:
        directory.close()
        shutil.rmtree(directory.path, ignore_errors=True)  # the folder was just made
        raise
    return PreparedRun(env, algorithm, hyperparams, budget, run_config, directory)


def resume(run_config: RunConfig, env: Any, run_dir: Path) -> PreparedRun:
    """Take up a run at its newest whole checkpoint, or at the beginning if it was stopped before the first one.

    Lines of metrics.jsonl from after the checkpoint are dropped: they are written again. config.json notes it.

    Args:
      run_config: from `RunConfig.read`, perhaps `changed`.
      env: one instance of the environment.
      run_dir: folder of the run.

    Raises:
      ValueError: a file is damaged, or belongs to a run of other settings; the message names file or field.
      OSError: the directory cannot be written to, or the run is still going on.
    """
    options = run_config.options
    names = parse_names(options.log)
    algorithm, hyperparams, budget, like = _rebuild(run_config, env, run_dir)
    directory = RunDirectory.open(run_dir)
    try:
        restored = restore(directory.path / CHECKPOINTS, like, run_config.identity())
        if restored is None and (directory.path / METRICS).stat().st_size:
            raise DamagedError(
                f"{directory.path} has {len(directory.records)} iterations in {METRICS} and no checkpoint to go on from"
            )
        iteration = restored.iteration if restored else 0
        if iteration > int(run_config.hyperparams["num_iterations"]):
            raise ValueError(
                f"num_iterations is {run_config.hyperparams['num_iterations']}: the run is at iteration {iteration} "
                "already"
            )
        _note_resumption(directory, run_config, iteration)
        notes = directory.go_back_to(iteration)
        (directory.path / RESULT).unlink(missing_ok=True)  # the run has not ended any more
        if restored and restored.best_state is not None:
            directory.save_params(algorithm.params(restored.best_state), BEST_POLICY)
        else:
            (directory.path / BEST_POLICY).unlink(missing_ok=True)
        steps = int(restored.state.env_steps) if restored else 0
        directory.loggers = open_loggers(names, directory.path, run_config.settings(), first_step=steps)
    except BaseException:
        directory.close()
        raise
    if restored:
        restored = restored._replace(notes=(*restored.notes, *notes))
    return PreparedRun(env, algorithm, hyperparams, budget, run_config, directory, restored)


def _rebuild(run_config: RunConfig, env: Any, run_dir: Path) -> tuple[Algorithm, Hyperparams, Budget, Any]:
    """Algorithm, hyperparameters and budget of a run that was written, and the shapes of its TrainState."""
    if run_config.unknown:
        name = next(iter(run_config.unknown))
        raise DamagedError(
            f"{run_dir / CONFIG} has the setting {name}, which this version does not know: a later version wrote it, "
            "and only that version can go on with the run"
        )
    try:
        config, values = resolve(run_config.settings(), env)
        # The first checkpoint has what the run began with.
        is_begun = any((run_dir / CHECKPOINTS).glob("*"))
        options = dataclasses.replace(run_config.options, init_from=None) if is_begun else run_config.options
        algorithm, hyperparams, budget = _check(env, config, values, options)
        like = jax.eval_shape(algorithm.init, jax.random.key(run_config.options.seed), hyperparams)
    except (ValueError, TypeError, OverflowError) as error:
        raise DamagedError(f"{run_dir / CONFIG} cannot be used: {error}") from None
    return algorithm, hyperparams, budget, like


def _note_resumption(directory: RunDirectory, run_config: RunConfig, iteration: int) -> None:
    """Add to config.json the iteration and the versions with which the run is resumed."""
    before = read_json(directory.path / CONFIG)
    resumed = before.get("resumed", [])
    entry = {"iteration": iteration, **surroundings()}
    resumed = [*(resumed if isinstance(resumed, list) else []), entry]
    directory.write_json(CONFIG, {**before, "format": CONFIG_FORMAT, **run_config.as_json(), "resumed": resumed})


def _check(
    env: Any, config: Config, values: Mapping[str, Any], options: RunOptions
) -> tuple[Algorithm, Hyperparams, Budget]:
    budget = Budget.create(int(values["num_iterations"]), options.num_timesteps)
    hyperparams = Hyperparams.create(**values, config=config)
    algorithm = over_devices(warm_start.make(options, env, config), options.devices)
    # Tracing finds errors between environment and settings, such as the number of limits.
    jax.eval_shape(algorithm.init, jax.random.key(0), hyperparams)
    return algorithm, hyperparams, budget
