"""What the arguments of `train` stand for: an environment or its name, a rule or its name, a budget."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from espo_jax import own_code
from espo_jax.algorithms.checks import Rule
from espo_jax.config import Config
from espo_jax.environments import named_env, written_options
from espo_jax.hyperparams import SETTINGS as HYPERPARAM_SETTINGS
from espo_jax.runs.options import RunOptions

AUTO = "auto"  # the published settings, and a line that says so
OF_A_NAME = ("backend", "reward", "env")  # what an environment that is given by its name is made from


class Asked(NamedTuple):
    """Arguments of `train` that say what is trained.

    Args:
      preset, num_timesteps, num_iterations, seed, devices, sample_size_rule: as they were given.
      settings: flat fields of Config and Hyperparams that were given.
      options: fields of RunOptions that were given among the settings.
    """

    preset: str
    num_timesteps: int | None
    num_iterations: int | None
    seed: int
    devices: int | None
    sample_size_rule: Rule | None
    settings: Mapping[str, Any]
    options: Mapping[str, Any]

    def changes(self) -> dict[str, Any]:
        """What a run that goes on must have, or may change to: the flat settings that were given.

        Raises:
          ValueError: a preset was given.
        """
        if self.preset != AUTO:
            raise ValueError(f"preset is {self.preset!r}: the run has its settings, and keeps them with resume")
        further = {
            "num_iterations": self.num_iterations,
            "num_timesteps": self.num_timesteps,
            "devices": self.devices,
            "seed": self.seed or None,  # 0 cannot be told from a seed that was not given
            "sample_size_rule": name_of_rule(self.sample_size_rule),
        }
        return {**self.settings, **self.options, **{name: each for name, each in further.items() if each is not None}}

    def run_options(self, **chosen: Any) -> RunOptions:
        """Options of a new run, with those that follow from the rule and the environment."""
        own = {"seed": self.seed, "devices": self.devices or 1, "num_timesteps": self.num_timesteps}
        return RunOptions(**{**self.options, **own, **chosen})


def environment_of(environment: Any, options: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
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
