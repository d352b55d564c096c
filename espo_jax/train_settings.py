"""The settings that `train` takes as keyword arguments; docs/write_settings.py writes this module."""

from collections.abc import Sequence
from typing import TypedDict

# Arguments that `train` has beside them, or decides by itself.
ARGUMENTS = (
    "task", "preset", "algorithm", "seed", "devices", "num_timesteps", "num_iterations", "sample_size_rule", "run_dir",
)  # fmt: skip


class TrainSettings(TypedDict, total=False):
    """Fields of Hyperparams, Config and RunOptions, which say what each is; one that is not given has its default."""

    cost_limit: float | Sequence[float] | None
    slack_positive: float | Sequence[float] | None
    slack_negative: float | Sequence[float] | None
    zeta_positive: float
    zeta_negative: float
    anneal_slack_positive: bool
    anneal_slack_negative: bool
    anneal_zeta_positive: bool
    anneal_zeta_negative: bool
    warmup_iterations: int
    reward_weight: float
    cagrad_radius: float
    cost_tolerance: float | Sequence[float] | None
    variance_tolerance: float
    discount: float
    cost_discount: float
    gae_lambda: float
    cost_gae_lambda: float
    target_kl: float
    kl_margin: float
    cg_damping: float
    accept_ratio: float
    critic_l2: float
    critic_learning_rate: float
    policy_learning_rate: float
    anneal_policy_learning_rate: bool
    clip_ratio: float
    multiplier_init: float | Sequence[float] | None
    multiplier_learning_rate: float | Sequence[float] | None
    multiplier_max: float | Sequence[float] | None
    num_envs: int
    base_sample_size: int
    max_zeta_positive: float
    block_size: int | None
    rollout_chunk: int | None
    episode_length: int | None
    action_repeat: int
    reset_pool_size: int
    time_limit: str
    reset_each_iteration: bool
    conflict_metric: str
    conflict_resolution: str
    standardize_advantages: bool
    cost_advantages: str
    policy_hidden_sizes: tuple[int, ...]
    critic_hidden_sizes: tuple[int, ...]
    activation: str
    initial_log_std: float
    normalize_observations: bool
    observation_clip: float
    cg_iterations: int
    fisher_stride: int
    line_search_steps: int
    critic_optimizer: str
    lbfgs_iterations: int
    critic_passes: int
    critic_minibatch_size: int | None
    critic_max_gradient_norm: float
    policy_passes: int
    policy_minibatch_size: int | None
    policy_max_gradient_norm: float
    multiplier_optimizer: str
    env: tuple[str, ...]
    backend: str | None
    reward: str | None
    init_from: str | None
    log: str
    num_eval_episodes: int
    eval_interval: int
    checkpoint_iterations: int
    checkpoint_minutes: float
