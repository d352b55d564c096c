"""Published settings by task, and the flat settings of a run turned into Config and Hyperparams."""

import difflib
import math
from collections.abc import Mapping
from typing import Any

import safety_envs

from espo_jax import algorithms, own_code
from espo_jax.algorithms.types import UpdateRule
from espo_jax.config import Config
from espo_jax.hyperparams import Hyperparams, fill_defaults
from espo_jax.settings import settings_of


def _sampling(zeta_positive: float, zeta_negative: float, **slack: float) -> dict[str, Any]:
    return {"zeta_positive": zeta_positive, "zeta_negative": zeta_negative, **slack}


# What both families of experiments in the paper share, and this project's readings (docs/algorithms.md): all that
# decides the result, so that other defaults cannot change a preset.
_PAPER: dict[str, Any] = {
    "num_iterations": 500,
    "episode_length": 1000,
    "action_repeat": 1,
    "reset_each_iteration": False,
    "activation": "tanh",
    "initial_log_std": 0.0,
    "cost_advantages": "standardize",
    "conflict_metric": "natural",
    "conflict_resolution": "projection",
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
    "critic_l2": 1e-3,
    "cg_damping": 0.1,
    "accept_ratio": 0.1,
    "line_search_steps": 10,
}

# Table 4, and what the code lineage sets.
_SAFETY_MUJOCO: dict[str, Any] = {
    **_PAPER,
    "base_sample_size": 16_000,
    "num_envs": 16,
    "cg_iterations": 10,
    "critic_optimizer": "lbfgs",
    "lbfgs_iterations": 25,
    "discount": 0.995,
    "cost_discount": 0.995,
    "gae_lambda": 0.97,
    "cost_gae_lambda": 0.97,
    "target_kl": 0.05,
    "warmup_iterations": 40,
    "time_limit": "termination",
}

# Table 7, ESPO's column.
_VELOCITY: dict[str, Any] = {
    **_PAPER,
    "base_sample_size": 20_000,
    "num_envs": 20,
    "cg_iterations": 15,
    "critic_optimizer": "adam",
    "critic_learning_rate": 1e-3,
    "critic_passes": 10,
    "critic_minibatch_size": 128,
    "critic_max_gradient_norm": 40.0,
    "discount": 0.99,
    "cost_discount": 0.99,
    "gae_lambda": 0.95,
    "cost_gae_lambda": 0.95,
    "target_kl": 0.01,
    "warmup_iterations": 0,
    "time_limit": "truncation",
}

# Settings of each algorithm: the columns of Table 7. Only ESPO manipulates the sample size.
_FIXED: dict[str, Any] = {"sample_size_rule": "fixed"}
_FIRST_ORDER: dict[str, Any] = {
    **_FIXED,
    "conflict_metric": "euclidean",  # they know no natural steps to compare
    "policy_passes": 40,
    "policy_minibatch_size": 64,
    "policy_max_gradient_norm": 40.0,
    "policy_learning_rate": 3e-4,
    "anneal_policy_learning_rate": True,  # as in Omnisafe
    "clip_ratio": 0.2,
    # As in Omnisafe: the learning rate of Table 7 belongs to its unit of the multiplier and to its optimiser. With the
    # plain step and no cap, a violation of thousands moves CUP's policy by nats in a pass.
    "cost_advantages": "center",
    "multiplier_optimizer": "adam",
    "multiplier_init": 0.001,
    "multiplier_learning_rate": 0.035,
    "multiplier_max": math.inf,
}
_ALGORITHMS: dict[str, dict[str, Any]] = {
    "espo": {"sample_size_rule": "gradient_conflict"},
    "pcrpo": _FIXED,
    "crpo": {**_FIXED, "cost_tolerance": 0.0},
    "pcpo": _FIXED,
    "cup": {**_FIRST_ORDER, "target_kl": 0.01, "multiplier_max": 2.0},  # the bound is Omnisafe's
    "ppo_lagrangian": {**_FIRST_ORDER, "target_kl": 0.02},
    "trpo": _FIXED,
}
# On the velocity tasks Table 7 gives the critics of these two the settings of their policies.
_FIRST_ORDER_CRITICS: dict[str, Any] = {
    "critic_learning_rate": 3e-4,
    "critic_passes": 40,
    "critic_minibatch_size": 64,
}

# What the paper sets task by task (docs/paper.md, section 6, Tables 5 and 6).
_TASKS: dict[str, dict[str, Any]] = {
    "safety_reacher": _sampling(0.1, -0.3, slack_positive=0.0, slack_negative=-math.inf),
    "safety_walker2d": _sampling(0.0, -0.5, slack_positive=math.inf, slack_negative=0.0),
    "safety_humanoidstandup": _sampling(0.0, -0.5, slack_positive=300.0, slack_negative=0.0),
    "safety_hopper_velocity": _sampling(0.1, -0.4, slack_positive=9.0, slack_negative=-9.0),
    "safety_ant_velocity": _sampling(0.1, -0.4, slack_positive=0.25, slack_negative=-0.25),
}

PAPER = "paper"
NO_PRESET = "none"  # the defaults of Config and Hyperparams

_CONFIG_FIELDS, _HYPERPARAM_FIELDS = tuple(settings_of(Config)), tuple(settings_of(Hyperparams))


def preset(name: str, task: str | None, algorithm: str | UpdateRule = "espo") -> dict[str, Any]:
    """The settings that a preset has for a task and algorithm: flat fields of Config and Hyperparams.

    Preset "none" has no settings. Preset "paper" has the paper's settings for its five tasks. For the other tasks it
    has the settings for their family (Safety-MuJoCo, or the velocity tasks of Safety-Gymnasium); their zetas and
    slacks are those of HopperVelocity, with its slack of 9 on a limit of 25 in proportion. All algorithms share these
    settings, except for their own columns of Table 7 and for the sample-size rule, which is "fixed" for all but ESPO.

    An environment of the user's own has the settings of the velocity tasks, the zetas of HopperVelocity, its own limit
    and the default band around it. An algorithm of the user's own has its own sample-size rule, and the first-order
    settings if it descends on minibatches.

    Args:
      name: "paper" or "none".
      task: one of `safety_envs.task_names()`, or module:function of the user's own code; None stands for an environment
        without a name.
      algorithm: one of `algorithms.RULES`, or module:RULE of the user's own code; or the rule itself.

    Raises:
      ValueError: naming the known presets, tasks or algorithms.

    Reference: ESPO, arXiv:2405.20860, Tables 4 to 7.
    """
    if name not in (PAPER, NO_PRESET):
        raise ValueError(f"unknown preset {name!r}; known presets: {PAPER}, {NO_PRESET}")
    rule = algorithm if isinstance(algorithm, UpdateRule) else algorithms.find(algorithm)
    if name == NO_PRESET:
        return {}
    is_ours = algorithms.RULES.get(rule.name) is rule
    own = _ALGORITHMS.get(rule.name, _FIXED) if is_ours else _of_own_algorithm(rule)
    if task is None or own_code.is_own(task) or safety_envs.is_registered(task):
        critics = _FIRST_ORDER_CRITICS if rule.first_order else {}
        found = {**_VELOCITY, **_sampling(0.1, -0.4), **own, **critics}
        del found["episode_length"]  # the environment's own
        return found
    limit = safety_envs.describe(task).cost_limit
    assert isinstance(limit, int | float), task
    family = _VELOCITY if task.endswith("_velocity") else _SAFETY_MUJOCO
    # The slack of HopperVelocity, 9 on a limit of 25, in proportion.
    hopper = _sampling(0.1, -0.4, slack_positive=9 * limit / 25, slack_negative=-9 * limit / 25)
    if family is _VELOCITY and rule.first_order:
        own = {**own, **_FIRST_ORDER_CRITICS}
    return {**family, "cost_limit": limit, **_TASKS.get(task, hopper), **own}


def _of_own_algorithm(rule: UpdateRule) -> dict[str, Any]:
    return {**(_FIRST_ORDER if rule.first_order else {}), "sample_size_rule": None}


def split(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split flat settings into the keyword arguments of Config and those of Hyperparams.create.

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
    """Complete flat settings by their defaults, for an environment.

    cost_limit defaults to the environment's own. max_zeta_positive defaults to zeta_positive, the room that is needed.

    Args:
      settings: flat fields of Config and Hyperparams; None stands for the default.
      env: environment, whose cost_limit is used if settings have none; None if they have one.

    Returns:
      Config, and every keyword argument of Hyperparams.create.

    Raises:
      ValueError: naming the field, its value and what is allowed.
    """
    if env is not None:
        safety_envs.require_usable(env)
    config, hyperparams = split({name: value for name, value in settings.items() if value is not None})
    if "cost_limit" not in hyperparams:
        limit = getattr(env, "cost_limit", None)
        if limit is None:
            raise ValueError("the environment has no cost_limit of its own; give cost_limit")
        hyperparams["cost_limit"] = limit
    hyperparams = fill_defaults(hyperparams)
    # A zeta_positive out of range is refused by Hyperparams under its own name.
    zeta_positive = hyperparams["zeta_positive"]
    config.setdefault("max_zeta_positive", max(0.0, zeta_positive) if math.isfinite(zeta_positive) else 0.0)
    return Config(**config), hyperparams
