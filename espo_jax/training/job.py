"""A run that is checked and has its folder, but has compiled nothing: a new one, or one that goes on."""

import dataclasses
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from espo_jax.algorithms.types import Algorithm
from espo_jax.hyperparams import Hyperparams
from espo_jax.presets import resolve
from espo_jax.training import run_directory
from espo_jax.training.checkpoints import Checkpoints, Restored, Schedule
from espo_jax.training.evaluation import MOST_EPISODES
from espo_jax.training.files import DamagedError, read_json
from espo_jax.training.loggers import open_loggers, parse_names
from espo_jax.training.loop import Budget, MakeFn
from espo_jax.training.restore import restore
from espo_jax.training.run_config import RunConfig
from espo_jax.training.run_directory import BEST_POLICY, CHECKPOINTS, CONFIG, METRICS, RESULT, RunDirectory


@dataclasses.dataclass(frozen=True)
class Job:
    """What `run.execute` runs.

    Args:
      env: one instance of the environment.
      algorithm, hyperparams, budget: checked.
      about: settings as config.json has them.
      directory: of the run.
      restored: where to go on; None begins.
      log: names of the loggers, as asked for.
    """

    env: Any
    algorithm: Algorithm
    hyperparams: Hyperparams
    budget: Budget
    about: RunConfig
    directory: RunDirectory
    restored: Restored | None = None
    log: str = ""

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.about.algorithm} on {self.about.task}, seed {self.about.seed}"

    def checkpoints(self) -> Checkpoints:
        """The writer of the run's checkpoints."""
        schedule = Schedule.create(self.about.checkpoint_iterations, self.about.checkpoint_minutes)
        return Checkpoints(self.directory.path / CHECKPOINTS, schedule, self.about.identity(), self.restored)


def prepare(
    env: Any,
    make: MakeFn,
    settings: Mapping[str, Any],
    *,
    task: str,
    algorithm: str,
    seed: int = 0,
    num_timesteps: int | None = None,
    num_eval_episodes: int = 20,
    eval_interval: int = 50,
    checkpoint_iterations: int = 0,
    checkpoint_minutes: float = 5.0,
    log: str = "",
    run_dir: str | Path | None = None,
    origin: Mapping[str, Any] | None = None,
) -> Job:
    """Check everything that can be checked without compiling, then create the run directory and its config.json.

    Args:
      env: one instance of the environment.
      make: (env, config) -> Algorithm.
      settings: flat fields of Config and Hyperparams; num_iterations is also how many to run.
      task: name of the environment.
      algorithm: name of the algorithm.
      seed: of all randomness, in [0, 2^31).
      num_timesteps: stop earlier, when this many samples are taken.
      num_eval_episodes: episodes of an evaluation; 0 leaves all evaluations out.
      eval_interval: iterations between evaluations while training; 0 leaves those out.
      checkpoint_iterations: iterations between checkpoints; 0 is no such interval.
      checkpoint_minutes: minutes between checkpoints; inf is no such interval.
      log: names of loggers, see `loggers.parse_names`.
      run_dir: folder to create; None is runs/<task>-<algorithm>-seed<seed>-<time>.
      origin: more for config.json: backend, reward and preset.

    Raises:
      ValueError: a setting or the environment is not usable.
      OSError: the run directory exists, or cannot be written to.
    """
    config, values = resolve(settings, env)
    built, hyperparams, budget = _check(env, make, config, values, num_timesteps)
    # Not when a run goes on: what an earlier version began without this check is finished.
    built.check(hyperparams)
    named = {"backend": None, "reward": None, "preset": None, **(origin or {})}
    about = RunConfig(
        task=task,
        algorithm=algorithm,
        **named,
        seed=seed,
        num_timesteps=num_timesteps,
        num_eval_episodes=num_eval_episodes,
        eval_interval=eval_interval,
        checkpoint_iterations=checkpoint_iterations,
        checkpoint_minutes=checkpoint_minutes,
        config=dataclasses.asdict(built.config),
        hyperparams=values,
    )
    check_upkeep(about)
    names = parse_names(log)
    directory = RunDirectory(run_directory.default_path(task, algorithm, seed) if run_dir is None else run_dir)
    try:
        directory.write_json(CONFIG, {**dataclasses.asdict(about), **run_directory.surroundings()})
        directory.loggers = open_loggers(names, directory.path, about.settings())
    except OSError:
        directory.close()
        shutil.rmtree(directory.path, ignore_errors=True)  # just made
        raise
    return Job(env, built, hyperparams, budget, about, directory, log=log)


def resume(about: RunConfig, env: Any, make: MakeFn, run_dir: Path, *, log: str = "") -> Job:
    """Take up a run where its newest whole checkpoint is, or from the beginning where it was stopped before the first.

    Lines of metrics.jsonl from after the checkpoint are dropped: they come again. config.json notes it.

    Args:
      about: from `RunConfig.read`, perhaps `changed`.
      env: one instance of the environment.
      make: (env, config) -> Algorithm.
      run_dir: of the run.
      log: names of loggers, see `loggers.parse_names`.

    Raises:
      ValueError: a file is damaged, or belongs to a run of other settings; the message names file or field.
      OSError: the directory cannot be written to, or the run is still going on.
    """
    names = parse_names(log)
    try:
        config, values = resolve(about.settings(), env)
        built, hyperparams, budget = _check(env, make, config, values, about.num_timesteps)
        check_upkeep(about)
        like = jax.eval_shape(built.init, jax.random.key(about.seed), hyperparams)
    except DamagedError:
        raise
    except (ValueError, TypeError, OverflowError) as error:
        raise DamagedError(f"{run_dir / CONFIG} cannot be used: {error}") from None
    directory = RunDirectory(run_dir, exist=True)
    try:
        restored = restore(directory.path / CHECKPOINTS, like, about.identity(), most=len(directory.records))
        if restored is None and (directory.path / METRICS).stat().st_size:
            raise DamagedError(
                f"{directory.path} has {len(directory.records)} iterations in {METRICS} and no checkpoint to go on from"
            )
        iteration = restored.iteration if restored else 0
        if iteration > int(values["num_iterations"]):
            raise ValueError(
                f"num_iterations is {values['num_iterations']}: the run is at iteration {iteration} already"
            )
        before = read_json(run_dir / CONFIG)
        resumed = before.get("resumed", [])
        entry = {"iteration": iteration, **run_directory.surroundings()}
        resumed = [*(resumed if isinstance(resumed, list) else []), entry]
        directory.write_json(CONFIG, {**before, **dataclasses.asdict(about), "resumed": resumed})
        directory.truncate(iteration)
        (directory.path / RESULT).unlink(missing_ok=True)  # of an end that no longer is one
        if restored and restored.best_state is not None:
            directory.save_params(built.params(restored.best_state), BEST_POLICY)
        else:
            (directory.path / BEST_POLICY).unlink(missing_ok=True)
        steps = directory.records[-1]["env_steps"] if iteration else 0
        directory.loggers = open_loggers(names, directory.path, about.settings(), first_step=steps)
    except BaseException:
        directory.close()
        raise
    return Job(env, built, hyperparams, budget, about, directory, restored, log)


def _check(
    env: Any, make: MakeFn, config: Any, values: Mapping[str, Any], num_timesteps: int | None
) -> tuple[Algorithm, Hyperparams, Budget]:
    budget = Budget.create(int(values["num_iterations"]), num_timesteps)
    hyperparams = Hyperparams.create(**values, config=config)
    built = make(env, config)
    # Tracing finds what is wrong between environment and settings, such as the number of limits.
    jax.eval_shape(built.init, jax.random.key(0), hyperparams)
    return built, hyperparams, budget


def check_upkeep(about: RunConfig) -> None:
    """Raises ValueError for a seed, or a setting of evaluations or checkpoints, that is out of its range."""
    if not 0 <= about.seed < 2**31:
        raise ValueError(f"seed is {about.seed}: it must lie in [0, 2^31)")
    for name, most in (("num_eval_episodes", MOST_EPISODES), ("eval_interval", math.inf)):
        if not 0 <= getattr(about, name) <= most:
            raise ValueError(f"{name} is {getattr(about, name)}: it must lie in [0, {most}]")
    Schedule.create(about.checkpoint_iterations, about.checkpoint_minutes)
