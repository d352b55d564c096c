"""Published settings by task, and the flat settings of a run turned into Config and Hyperparams."""

import dataclasses
import difflib
import math
from collections.abc import Mapping
from typing import Any

from espo_jax.config import HYPERPARAM_DEFAULTS, Config, Hyperparams

# Safety-MuJoCo, Table 4, what its code lineage sets, and this project's readings (docs/algorithm.md): all that decides
# the result, so that other defaults cannot change a preset.
_SAFETY_MUJOCO: dict[str, Any] = {
    "base_sample_size": 16_000,
    "num_iterations": 500,
    "num_envs": 16,
    "episode_length": 1000,
    "action_repeat": 1,
    "reset_each_iteration": False,
    "sample_size_rule": "gradient_conflict",
    "conflict_metric": "natural",
    "standardize_advantages": True,
    "fisher_stride": 4,
    "reward_weight": 0.5,
    "kl_margin": 1.5,
    "anneal_slack_positive": False,
    "anneal_slack_negative": False,
    "anneal_zeta_positive": False,
    "anneal_zeta_negative": False,
    "policy_hidden_sizes": (64, 64),
    "critic_hidden_sizes": (64, 64),
    "normalize_observations": True,
    "observation_clip": 5.0,
    "cg_iterations": 10,
    "line_search_steps": 10,
    "critic_optimizer": "lbfgs",
    "lbfgs_iterations": 25,
    "discount": 0.995,
    "cost_discount": 0.995,
    "gae_lambda": 0.97,
    "cost_gae_lambda": 0.97,
    "critic_l2": 1e-3,
    "target_kl": 0.05,
    "cg_damping": 0.1,
    "accept_ratio": 0.1,
    "warmup_iterations": 40,
}

# Tables 5 and 6: preset -> task -> flat settings.
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {
        "safety_reacher": {
            **_SAFETY_MUJOCO,
            "zeta_positive": 0.1,
            "zeta_negative": -0.3,
            "cost_limit": 40.0,
            "slack_positive": 0.0,
            "slack_negative": -math.inf,
        },
    },
}

NO_PRESET = "none"  # the defaults of Config and Hyperparams

_CONFIG_FIELDS = tuple(field.name for field in dataclasses.fields(Config))
_HYPERPARAM_FIELDS = tuple(field.name for field in dataclasses.fields(Hyperparams))


def preset(name: str, task: str) -> dict[str, Any]:
    """The settings that a preset has for a task: flat fields of Config and Hyperparams; preset "none" has none.

    Raises:
      ValueError: naming the known presets, or the tasks that the preset covers.

    Reference: ESPO, arXiv:2405.20860, Tables 4 to 7.
    """
    if name == NO_PRESET:
        return {}
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; known presets: {', '.join((*PRESETS, NO_PRESET))}")
    tasks = PRESETS[name]
    if task not in tasks:
        raise ValueError(
            f"preset {name!r} has no settings for task {task!r}, only for {', '.join(tasks)}; preset "
            f"{NO_PRESET!r} takes the defaults"
        )
    return dict(tasks[task])


def split(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Flat settings as the keyword arguments of Config and those of Hyperparams.create.

    Raises:
      ValueError: naming a field that neither has, and the closest that one has.
    """
    known = (*_CONFIG_FIELDS, *_HYPERPARAM_FIELDS)
    for name in settings:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            raise ValueError(f"unknown setting {name!r}" + (f"; did you mean {close[0]!r}?" if close else ""))
    config = {name: value for name, value in settings.items() if name in _CONFIG_FIELDS}
    hyperparams = {name: value for name, value in settings.items() if name in _HYPERPARAM_FIELDS}
    return config, hyperparams


def resolve(settings: Mapping[str, Any], env: Any) -> tuple[Config, dict[str, Any]]:
    """Flat settings completed by their defaults, for an environment.

    cost_limit defaults to the environment's own, and max_zeta_positive to zeta_positive: no more room than needed.

    Args:
      settings: flat fields of Config and Hyperparams; None stands for the default.
      env: environment, asked for cost_limit.

    Returns:
      Config, and every keyword argument of Hyperparams.create.

    Raises:
      ValueError: naming the field, its value and what is allowed.
    """
    config, hyperparams = split({name: value for name, value in settings.items() if value is not None})
    hyperparams = {**HYPERPARAM_DEFAULTS, **hyperparams}
    if "cost_limit" not in hyperparams:
        limit = getattr(env, "cost_limit", None)
        if limit is None:
            raise ValueError("the environment has no cost_limit of its own; give cost_limit")
        hyperparams["cost_limit"] = limit
    # A zeta_positive out of range is refused by Hyperparams under its own name.
    zeta_positive = hyperparams["zeta_positive"]
    config.setdefault("max_zeta_positive", max(0.0, zeta_positive) if math.isfinite(zeta_positive) else 0.0)
    return Config(**config), hyperparams
