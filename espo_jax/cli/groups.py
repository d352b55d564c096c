"""The groups in which `--help` shows the settings of a training, and which of them an algorithm leaves out."""

import dataclasses
from typing import Any

from espo_jax import algorithms, own_code

GROUPS: dict[str, tuple[str, ...]] = {
    "task": (
        "task", "env", "backend", "reward", "episode_length", "action_repeat", "time_limit", "reset_each_iteration",
        "reset_pool_size",
    ),
    "algorithm": (
        "algorithm", "preset", "conflict_metric", "conflict_resolution", "reward_weight", "cagrad_radius",
    ),
    "sampling": (
        "base_sample_size", "num_envs", "sample_size_rule", "zeta_positive", "zeta_negative", "anneal_zeta_positive",
        "anneal_zeta_negative", "variance_tolerance", "max_zeta_positive", "rollout_chunk", "block_size", "discount",
        "cost_discount", "gae_lambda", "cost_gae_lambda", "standardize_advantages", "cost_advantages",
        "normalize_observations", "observation_clip",
    ),
    "constraints": (
        "cost_limit", "slack_positive", "slack_negative", "anneal_slack_positive", "anneal_slack_negative",
        "warmup_iterations", "cost_tolerance", "multiplier_init", "multiplier_learning_rate", "multiplier_max",
        "multiplier_optimizer",
    ),
    "policy_update": (
        "policy_hidden_sizes", "activation", "initial_log_std", "target_kl", "kl_margin", "cg_iterations", "cg_damping",
        "fisher_stride", "line_search_steps", "accept_ratio", "policy_passes", "policy_minibatch_size",
        "policy_learning_rate", "anneal_policy_learning_rate", "policy_max_gradient_norm", "clip_ratio",
    ),
    "critics": (
        "critic_hidden_sizes", "critic_optimizer", "critic_l2", "lbfgs_iterations", "critic_passes",
        "critic_minibatch_size", "critic_learning_rate", "critic_max_gradient_norm",
    ),
    "run": (
        "num_iterations", "num_timesteps", "seed", "devices", "num_eval_episodes", "eval_interval",
        "checkpoint_iterations", "checkpoint_minutes", "init_from", "resume",
    ),
    "output": ("run_dir", "log"),
}  # fmt: skip
_WORDS = {"constraints": "A setting with a value for each of the K constraints takes one number for all, or K numbers."}


def grouped(flags: type) -> type:
    """A dataclass with one field for each group of the flags of a training, and one for the command's own flags."""
    fields = {field.name: (field.name, flags.__annotations__[field.name], field) for field in dataclasses.fields(flags)}
    names = {"command": tuple(name for name in fields if not any(name in group for group in GROUPS.values())), **GROUPS}
    groups = []
    for group, of_group in names.items():
        members = [_copied(*fields[name]) for name in of_group if name in fields]
        if members:
            cls: Any = dataclasses.make_dataclass(group, members)
            cls.__doc__ = _WORDS.get(group, "")
            groups.append((group, cls, dataclasses.field(default_factory=cls)))
    return dataclasses.make_dataclass("Groups", groups)


def flattened(groups: Any, flags: type) -> Any:
    """The flags from an instance of a class of `grouped`."""
    return flags(**{name: value for group in vars(groups).values() for name, value in vars(group).items()})


def unused(algorithm: str) -> tuple[str, ...]:
    """Settings that have no effect on an algorithm; none for one of the user's own."""
    return () if own_code.is_own(algorithm) else algorithms.find(algorithm).unused


def _copied(name: str, kind: Any, field: dataclasses.Field) -> tuple[str, Any, Any]:
    """A field of another dataclass."""
    return name, kind, dataclasses.field(default=field.default)
