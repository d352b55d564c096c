"""What the arguments of `train` stand for: an environment or its name, a rule or its name, a budget."""

import math
from collections.abc import Mapping
from typing import Any

from espo_jax import own_code
from espo_jax.algorithms.checks import Rule
from espo_jax.config import Config
from espo_jax.environments import named_env, written_options
from espo_jax.hyperparams import SETTINGS as HYPERPARAM_SETTINGS
from espo_jax.runs.options import RunOptions

OF_A_NAME = ("backend", "reward", "env")  # what an environment that is given by its name is made from


def environment_of(environment: Any, options: dict[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """The environment, and the options of a run that make it again; none if nothing is known to."""
    if environment is None:
        raise ValueError("environment is not given: there is nothing to train on")
    if isinstance(environment, str):
        own_code.allow_named(environment)
        named = RunOptions(task=environment, **{name: options[name] for name in OF_A_NAME if name in options})
        return named_env(*named.environment), {"task": environment, "reward": named.reward, "env": named.env}
    if wrong := [name for name in OF_A_NAME if name in options]:
        raise ValueError(f"{wrong[0]} is for an environment that is given by its name")
    made_from = vars(environment).get("made_from", {}) if hasattr(environment, "__dict__") else {}
    return environment, made_from


def recorded_options(env: Any, made_from: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a run from which the environment can be made again.

    Raises:
      ValueError: nothing is known that makes it.
    """
    if not made_from:
        raise ValueError(
            f"run_dir needs an environment that can be made again, and this {type(env).__name__} is an instance: give "
            "the name of a function that makes it, module:function, or one that safety_envs.register knows"
        )
    options = made_from["env"]
    return {**made_from, "env": options if isinstance(options, tuple) else written_options(options)}


def name_of_rule(rule: Rule | None) -> str | None:
    """The name by which a run directory finds a sample-size rule."""
    return rule if rule is None or isinstance(rule, str) else own_code.name_of("sample_size_rule", rule)


def horizon_of(num_iterations: int | None, num_timesteps: int | None, flat: Mapping[str, Any]) -> int:
    """The largest number of iterations that a budget allows, if all are as small as zeta_negative makes them."""
    if num_iterations is not None:
        return num_iterations
    if num_timesteps is None:
        if "num_iterations" not in flat:
            raise ValueError("nothing says when to stop: give num_iterations or num_timesteps")
        return flat["num_iterations"]
    size = flat.get("base_sample_size", Config.base_sample_size)
    fewest = size * (1 + flat.get("zeta_negative", HYPERPARAM_SETTINGS["zeta_negative"].default))
    return max(1, math.ceil(num_timesteps / max(1.0, fewest)))
