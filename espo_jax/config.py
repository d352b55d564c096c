"""`Config`: the static settings, which the shapes of the compiled program depend on."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from espo_jax import conflict, critic, gae, multiplier, policy, sample_size
from espo_jax.validation import choose, require_bool, require_int, require_range

# The fields that hold a name, and what each name stands for.
CHOICES: dict[str, Mapping[str, Any]] = {
    "time_limit": gae.TIME_LIMITS,
    "sample_size_rule": sample_size.RULES,
    "conflict_metric": conflict.METRICS,
    "conflict_resolution": conflict.RESOLUTIONS,
    "cost_advantages": gae.ADVANTAGE_SCALINGS,
    "activation": policy.ACTIVATIONS,
    "critic_optimizer": critic.OPTIMIZERS,
    "multiplier_optimizer": multiplier.OPTIMIZERS,
}


@dataclasses.dataclass(frozen=True)
class Config:
    """What the compiled program's shapes depend on; checked when it is made.

    Args:
      num_envs: environments stepped in parallel (N).
      base_sample_size: samples of an iteration before manipulation (X), in environment steps.
      max_zeta_positive: the largest zeta_positive that the buffer has room for; its capacity is X(1 + this).
      block_size: samples handled at once by every pass over the rollout; work is proportional to the blocks in use.
      episode_length: time limit in control steps; None takes the environment's own.
      action_repeat: control steps for which an action is held (reward and cost are summed).
      time_limit: what the time limit of an episode is to the advantages: "truncation" (bootstrap from the last state;
        statistically right) or "termination" (nothing comes after it; the protocol of the paper's code family).
      reset_each_iteration: restart every episode at each iteration instead of carrying on.
      sample_size_rule: how many samples next; None is the algorithm's own ("gradient_conflict" for ESPO, else "fixed").
      conflict_metric: in which inner product gradients conflict and are combined.
      conflict_resolution: how the balance mode combines what conflicts.
      standardize_advantages: give the advantages of reward and costs mean 0 and standard deviation 1 each.
      cost_advantages: "center" only gives those of the costs mean 0 and keeps their unit (as Omnisafe), which the
        Lagrange multipliers then share; "standardize" does both. No effect without standardize_advantages.
      policy_hidden_sizes: widths of the policy's hidden layers.
      critic_hidden_sizes: widths of each critic's hidden layers.
      activation: "tanh" or "relu", of the hidden layers of all networks.
      normalize_observations: whiten observations by their running mean and standard deviation.
      observation_clip: bound on a whitened observation, in standard deviations.
      cg_iterations: conjugate-gradient iterations per natural direction.
      fisher_stride: every this many time steps enter the Fisher products (1 uses all samples).
      line_search_steps: step sizes tried by the line search, each half the last.
      critic_optimizer: "lbfgs" (full batch) or "adam" (minibatches).
      lbfgs_iterations: L-BFGS iterations per critic and iteration.
      critic_passes: passes over the samples (adam).
      critic_minibatch_size: samples of a minibatch (adam).
      critic_max_gradient_norm: gradients of the critics are clipped to this norm (adam).
      policy_passes: passes over the samples of a first-order policy update (cup, ppo_lagrangian), at most.
      policy_minibatch_size: samples of its minibatches.
      policy_max_gradient_norm: its gradients are clipped to this norm.
      multiplier_optimizer: "sgd" (step of learning rate times violation) or "adam" (as Omnisafe).

    Raises:
      ValueError: naming the field, its value and what is allowed.
    """

    num_envs: int = 16
    base_sample_size: int = 16_000
    max_zeta_positive: float = 0.2
    block_size: int = 1_600
    episode_length: int | None = None
    action_repeat: int = 1
    time_limit: str = "truncation"
    reset_each_iteration: bool = False
    sample_size_rule: str | None = None
    conflict_metric: str = "natural"
    conflict_resolution: str = "projection"
    standardize_advantages: bool = True
    cost_advantages: str = "standardize"
    policy_hidden_sizes: tuple[int, ...] = (64, 64)
    critic_hidden_sizes: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    normalize_observations: bool = True
    observation_clip: float = 5.0
    cg_iterations: int = 10
    fisher_stride: int = 4
    line_search_steps: int = 10
    critic_optimizer: str = "lbfgs"
    lbfgs_iterations: int = 25
    critic_passes: int = 10
    critic_minibatch_size: int = 128
    critic_max_gradient_norm: float = 40.0
    policy_passes: int = 40
    policy_minibatch_size: int = 64
    policy_max_gradient_norm: float = 40.0
    multiplier_optimizer: str = "sgd"

    def __post_init__(self) -> None:
        """Check every field."""
        for name in (
            "num_envs", "base_sample_size", "block_size", "action_repeat", "cg_iterations", "fisher_stride",
            "line_search_steps", "lbfgs_iterations", "critic_passes", "critic_minibatch_size",
            "policy_passes", "policy_minibatch_size",
        ):  # fmt: skip
            require_int(name, getattr(self, name))
        if self.episode_length is not None:
            require_int("episode_length", self.episode_length)
        for name in ("policy_hidden_sizes", "critic_hidden_sizes"):
            sizes = getattr(self, name)
            if not isinstance(sizes, tuple | list) or any(not isinstance(s, int) or s < 1 for s in sizes):
                raise ValueError(f"{name} is {sizes!r}: it must be a tuple of positive integers")
            object.__setattr__(self, name, tuple(sizes))
        for name in ("reset_each_iteration", "standardize_advantages", "normalize_observations"):
            require_bool(name, getattr(self, name))
        require_range("max_zeta_positive", self.max_zeta_positive, 0.0, math.inf, open_high=True)
        require_range("observation_clip", self.observation_clip, 0.0, math.inf, open_low=True)
        for name in ("critic_max_gradient_norm", "policy_max_gradient_norm"):
            require_range(name, getattr(self, name), 0.0, math.inf, open_low=True)
        for name, choices in CHOICES.items():
            if name != "sample_size_rule" or self.sample_size_rule is not None:
                choose(name, getattr(self, name), choices)
        if self.base_sample_size * (1 + self.max_zeta_positive) >= 2**31:
            raise ValueError(
                f"max_zeta_positive is {self.max_zeta_positive:g}: base_sample_size ({self.base_sample_size}) times "
                "1 + max_zeta_positive must be less than 2^31"
            )
        if self.base_sample_size < self.num_envs:
            raise ValueError(
                f"base_sample_size is {self.base_sample_size}: it must be at least num_envs ({self.num_envs}), "
                "one step of every environment"
            )

    @property
    def steps_per_block(self) -> int:
        """Time steps of a block (all environments of a time step stay together)."""
        return max(1, min(self.block_size, self.base_sample_size) // self.num_envs)

    @property
    def max_sample_size(self) -> int:
        """Largest number of samples of an iteration: X(1 + max_zeta_positive), or X for the rule "fixed"."""
        growth = 0.0 if self.sample_size_rule == "fixed" else self.max_zeta_positive
        return round(self.base_sample_size * (1 + growth))

    @property
    def capacity(self) -> int:
        """Time steps of the rollout buffer: room for max_sample_size, in whole blocks."""
        return math.ceil(self.max_sample_size / (self.num_envs * self.steps_per_block)) * self.steps_per_block
