"""`train` of an algorithm with a run directory, from Python: what `espo train` does, reported as Brax does."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from espo_jax import own_code
from espo_jax.environments import named_env
from espo_jax.reports import PolicyParamsFn, ProgressFn, Reports
from espo_jax.runs import policies, prepare, run
from espo_jax.runs.options import RunOptions
from espo_jax.runs.output import Console
from espo_jax.runs.prepare import PreparedRun
from espo_jax.runs.run_config import RunConfig
from espo_jax.runs.signals import Stop, finish_first

Trained = tuple[Any, Any, dict[str, Any]]  # make_inference_fn, params, metrics


def train(
    env: Any,
    settings: Mapping[str, Any],
    options: RunOptions,
    progress_fn: ProgressFn,
    policy_params_fn: PolicyParamsFn,
) -> Trained:
    """Train and write a run directory.

    Args:
      env: one instance of the environment that the options name.
      settings: flat fields of Config and Hyperparams.
      options: options of the run.
      progress_fn, policy_params_fn: as for `Reports`.
    """
    with finish_first() as stop:
        return _execute(prepare.new_run(env, settings, options), stop, progress_fn, policy_params_fn)


def resume(
    run_dir: str,
    algorithm: str,
    env: Any,
    changes: Mapping[str, Any],
    progress_fn: ProgressFn,
    policy_params_fn: PolicyParamsFn,
) -> Trained:
    """Go on with a run at its newest whole checkpoint.

    Args:
      run_dir: folder of the run.
      algorithm: name of the algorithm that it must be of.
      env: one instance of its environment, or the name of one that it must be of; None makes it by its name.
      changes: flat settings; those that may not change must be what they are.
      progress_fn, policy_params_fn: as for `Reports`.
    """
    with finish_first() as stop:
        named = {"task": env} if isinstance(env, str) else {}
        own_code.allow_named(env)
        run_config = RunConfig.read(Path(run_dir)).changed({"algorithm": algorithm, **named, **changes})
        if env is None or named:
            env = named_env(*run_config.options.environment)
        return _execute(prepare.resume(run_config, env, Path(run_dir)), stop, progress_fn, policy_params_fn)


def _execute(prepared: PreparedRun, stop: Stop, progress_fn: ProgressFn, policy_params_fn: PolicyParamsFn) -> Trained:
    """Run to the end; what ends it early is raised after all is saved."""
    reports = Reports(prepared.algorithm, progress_fn, policy_params_fn)
    run.execute(prepared, Console(), stop, reports=reports, raises=True)
    params = policies.load_params(prepared.directory.path)
    return prepared.algorithm.make_inference_fn, params, reports.metrics
