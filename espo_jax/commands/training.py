"""Commands that train: train (and --resume), compare, replay; each returns the exit code."""

import shlex
import sys
from pathlib import Path
from typing import Any

from espo_jax import algorithms, presets
from espo_jax.commands import common
from espo_jax.commands.common import (
    BAD_INPUT,
    DIFFERENT,
    INTERRUPTED,
    NONFINITE,
    OK,
    TERMINATED,
    UNWRITABLE,
    recorded,
    refusing,
)
from espo_jax.options import CompareOptions, ReplayOptions, RunOptions


def train(options: RunOptions, settings: dict[str, Any], env: Any = None) -> int:
    """Train, and write a run directory; returns the exit code.

    Args:
      options: what to run.
      settings: flat fields of Config and Hyperparams.
      env: environment to use in place of the named task.

    Raises:
      BadInputError: before anything is compiled.
    """
    with refusing():
        algorithm = algorithms.load(options.algorithm)
        if env is None:
            import safety_envs

            env = safety_envs.make(options.task, backend=options.backend, reward=options.reward)
        from espo_jax.training import job

        upkeep = (
            "num_timesteps", "num_eval_episodes", "eval_interval", "checkpoint_iterations", "checkpoint_minutes", "log",
        )  # fmt: skip
        prepared = job.prepare(
            env,
            algorithm.make,
            settings,
            task=options.task,
            algorithm=options.algorithm,
            seed=options.seed,
            run_dir=options.run_dir,
            origin={"backend": env.backend, "reward": options.reward, "preset": options.preset},
            **{name: getattr(options, name) for name in upkeep},
        )
    return execute(prepared)


def resume(run_dir: str, changes: dict[str, Any], env: Any = None) -> int:
    """Go on with a run where its newest whole checkpoint is; returns the exit code.

    Args:
      run_dir: of the run.
      changes: flat settings; all but log and when to stop, to save and to evaluate must be what they are.
      env: environment to use in place of the run's task.

    Raises:
      BadInputError: before anything is compiled.
    """
    with refusing():
        from espo_jax.training import job
        from espo_jax.training.run_config import RunConfig

        path = Path(run_dir)
        log = changes.pop("log", "")
        about, algorithm, env = recorded(path, env, RunConfig.read(path).changed(changes))
        prepared = job.resume(about, env, algorithm.make, path, log=log)
    return execute(prepared)


def compare(options: CompareOptions, settings: dict[str, Any], env: Any = None) -> int:
    """Train several algorithms at equal iterations, and print and write their table; returns the exit code.

    Args:
      options: what to compare.
      settings: flat fields of Config and Hyperparams that hold for all of them; the rest is each one's preset.
      env: environment to use in place of the named task; then settings are all there is.

    Raises:
      BadInputError: before anything is compiled.
    """
    with refusing():
        names = [name.strip() for name in options.algorithms.split(",")]
        for name in names:
            algorithms.load(name)
        if len(set(names)) < len(names):
            raise ValueError(f"algorithms is {options.algorithms!r}: it names one twice")
        chosen = {name: dict(settings) for name in names}
        if env is None:
            import safety_envs

            chosen = {name: {**presets.preset(options.preset, options.task, name), **settings} for name in names}
            env = safety_envs.make(options.task, backend=options.backend, reward=options.reward)
        from espo_jax.training import comparison, comparison_table, run

        job = comparison.prepare(
            env,
            chosen,
            task=options.task,
            num_seeds=options.seeds,
            log=options.log,
            run_dir=options.run_dir,
            origin={"backend": env.backend, "reward": options.reward, "preset": options.preset},
        )
    console = common.console()
    try:
        result = comparison.execute(job, console)
    except OSError as error:
        print(f"espo: {error}; what finished until then is in {job.directory.path}", file=sys.stderr)
        return UNWRITABLE
    if result["rows"]:
        title = f"{options.task}, {job.num_iterations} iterations, {job.num_seeds} seeds vmapped: mean ± standard error"
        console.print(comparison_table.table(result["rows"], title))
        console.print(
            f"{comparison_table.EXPLANATION}\nrun directory {job.directory.path}",
            highlight=False,
            soft_wrap=True,
        )
    if result["status"] == run.INTERRUPTED:
        print(f"espo: interrupted; what finished until then is in {job.directory.path}", file=sys.stderr)
        return _interrupted(result["signal"])
    return {run.FINISHED: OK, run.NEGATIVE_COST: BAD_INPUT}.get(result["status"], NONFINITE)


def replay(options: ReplayOptions, env: Any = None) -> int:
    """Repeat a run from its config and say whether the metrics agree; returns the exit code (1 if they do not).

    Raises:
      BadInputError: the run is not usable.
    """
    console = common.console()
    with refusing():
        from espo_jax.training.loop import IterationError
        from espo_jax.training.replay import replay as repeat

        if options.num_iterations is not None and options.num_iterations < 1:
            raise ValueError(f"num_iterations is {options.num_iterations}: it must be a positive integer")
        path = Path(options.run_dir)
        about, algorithm, env = recorded(path, env)
        try:
            found = repeat(about, env, algorithm.make, path, console, num_iterations=options.num_iterations)
        except IterationError as error:
            print(f"espo: {error}, in the repetition only", file=sys.stderr)
            return NONFINITE
    for name, (then, now) in found.versions.items():
        console.print(f"{name} was {then}, is {now}", highlight=False)
    if found.first_difference is None:
        console.print(f"the same in all {found.iterations} iterations, to the bit", highlight=False)
        return OK
    iteration, field = found.first_difference
    console.print(f"different from iteration {iteration} on, first in {field}; largest relative differences:")
    for name, size in sorted(found.largest.items(), key=lambda item: -item[1]):
        console.print(f"  {name}: {size:.3g}", highlight=False)
    return DIFFERENT


def execute(job: Any) -> int:
    """Run a job to its end, and say how it ended."""
    from espo_jax.training import run

    console = common.console()
    path = job.directory.path
    log = f" --log {job.log}" if job.log else ""
    go_on = f"go on with: espo train --resume {shlex.quote(str(path))}{log}"
    try:
        result = run.execute(job, console)
    except OSError as error:
        print(f"espo: {error}; what was written before is whole; {go_on}", file=sys.stderr)
        return UNWRITABLE
    if result["status"] == run.FINISHED:
        console.print(run.summary(result, path), soft_wrap=True)
        return OK
    if result["status"] == run.INTERRUPTED:
        print(f"espo: {result['message']}; {go_on}", file=sys.stderr)
        return _interrupted(result["signal"])
    print(f"espo: {result['message']}; what ran until then is in {path}", file=sys.stderr)
    return BAD_INPUT if result["status"] == run.NEGATIVE_COST else NONFINITE


def _interrupted(signal: str | None) -> int:
    return TERMINATED if signal == "SIGTERM" else INTERRUPTED
