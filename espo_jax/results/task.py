"""The environment of a run, from its config.json."""

from typing import Any

from espo_jax.environments import named_env
from espo_jax.runs.run_config import RunConfig


def task_of(run_config: RunConfig, backend: str | None = None) -> Any:
    """One instance of the task of a run.

    Args:
      run_config: from `RunConfig.read`.
      backend: physics; None stands for that of the run.

    Raises:
      ValueError: the task, or the physics for it, is not known.
    """
    options = run_config.options
    return named_env(options.task, backend or options.backend, options.reward, options.env)
