"""Settings: `Config` (static, shapes depend on it) and `Hyperparams` (traced, changing one never recompiles)."""

import dataclasses
import math
import numbers
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

CONFLICT_METRICS = ("natural", "euclidean", "fisher")
CRITIC_OPTIMIZERS = ("lbfgs", "adam")
SAMPLE_SIZE_RULES = ("gradient_conflict", "fixed")


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
      reset_each_iteration: restart every episode at each iteration instead of carrying on.
      sample_size_rule: how many samples next.
      conflict_metric: in which inner product gradients conflict and are projected.
      standardize_advantages: give the advantages of reward and costs mean 0 and standard deviation 1 each.
      policy_hidden_sizes: widths of the policy's hidden layers.
      critic_hidden_sizes: widths of each critic's hidden layers.
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

    Raises:
      ValueError: naming the field, its value and what is allowed.
    """

    num_envs: int = 16
    base_sample_size: int = 16_000
    max_zeta_positive: float = 0.2
    block_size: int = 1_600
    episode_length: int | None = None
    action_repeat: int = 1
    reset_each_iteration: bool = False
    sample_size_rule: str = "gradient_conflict"
    conflict_metric: str = "natural"
    standardize_advantages: bool = True
    policy_hidden_sizes: tuple[int, ...] = (64, 64)
    critic_hidden_sizes: tuple[int, ...] = (64, 64)
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

    def __post_init__(self) -> None:
        """Check every field."""
        for name in (
            "num_envs", "base_sample_size", "block_size", "action_repeat", "cg_iterations", "fisher_stride",
            "line_search_steps", "lbfgs_iterations", "critic_passes", "critic_minibatch_size",
        ):  # fmt: skip
            _require_int(name, getattr(self, name))
        if self.episode_length is not None:
            _require_int("episode_length", self.episode_length)
        for name in ("policy_hidden_sizes", "critic_hidden_sizes"):
            sizes = getattr(self, name)
            if isinstance(sizes, int) or any(not isinstance(s, int) or s < 1 for s in sizes):
                raise ValueError(f"{name} is {sizes!r}: it must be a tuple of positive integers")
            object.__setattr__(self, name, tuple(sizes))
        _require_range("max_zeta_positive", self.max_zeta_positive, 0.0, math.inf, open_high=True)
        _require_range("observation_clip", self.observation_clip, 0.0, math.inf, open_low=True)
        _require_range("critic_max_gradient_norm", self.critic_max_gradient_norm, 0.0, math.inf, open_low=True)
        _require_choice("sample_size_rule", self.sample_size_rule, SAMPLE_SIZE_RULES)
        _require_choice("conflict_metric", self.conflict_metric, CONFLICT_METRICS)
        _require_choice("critic_optimizer", self.critic_optimizer, CRITIC_OPTIMIZERS)
        if self.base_sample_size * (1 + self.max_zeta_positive) >= 2**31:
            raise ValueError(
                f"max_zeta_positive is {self.max_zeta_positive:g}: base_sample_size ({self.base_sample_size}) times "
                "1 + max_zeta_positive must be less than 2^31"
            )
        if self.base_sample_size % self.num_envs:
            raise ValueError(
                f"base_sample_size is {self.base_sample_size}: it must be a multiple of num_envs ({self.num_envs})"
            )

    @property
    def steps_per_block(self) -> int:
        """Time steps of a block (all environments of a time step stay together)."""
        return max(1, min(self.block_size, self.base_sample_size) // self.num_envs)

    @property
    def max_steps(self) -> int:
        """Most time steps that an iteration can take: ceil(X(1 + max_zeta_positive) / num_envs)."""
        # Rounding first keeps 16000 * 1.1 / 16 at 1100 in spite of binary fractions.
        return math.ceil(round(self.base_sample_size * (1 + self.max_zeta_positive) / self.num_envs, 6))

    @property
    def capacity(self) -> int:
        """Time steps of the rollout buffer: max_steps rounded up to whole blocks."""
        return -(-self.max_steps // self.steps_per_block) * self.steps_per_block


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Hyperparams:
    """What may change without recompiling; build it with `Hyperparams.create`, which checks and converts.

    Every field is a float32 array of shape [], or [K] for the fields of a constraint (K constraints).

    Args:
      cost_limit: [K] b, limit on the undiscounted cost of an episode.
      slack_positive: [K] h+ >= 0, above b + h+ only the cost is lowered; inf is legal (never cost only).
      slack_negative: [K] h- <= 0, below b + h- only the reward is raised; -inf is legal (never reward only).
      zeta_positive: zeta+ >= 0, relative growth of the sample size after a conflict.
      zeta_negative: zeta- in (-1, 0], relative change of the sample size in every other case.
      anneal_slack_positive, anneal_slack_negative, anneal_zeta_positive, anneal_zeta_negative: switch of
        Algorithm 1, line 1: each iteration takes 1/num_iterations of the quantity away from it.
      num_iterations: T, the horizon of the annealing.
      warmup_iterations: iterations of reward-only optimisation before the constraints count.
      reward_weight: x_r in [0, 1], weight of the reward in the balance mode; the constraints share 1 - x_r.
      discount, cost_discount: gamma for the reward and for the costs, in [0, 1].
      gae_lambda, cost_gae_lambda: lambda of the advantages, in [0, 1].
      target_kl: delta, KL radius of a step, in nats.
      kl_margin: the line search accepts a KL of up to target_kl times this.
      cg_damping: added to the diagonal of the Fisher matrix.
      accept_ratio: least actual over predicted improvement that the line search accepts.
      critic_l2: weight of the critics' squared parameters in their loss.
      critic_learning_rate: learning rate of the critics (adam).
    """

    cost_limit: jax.Array
    slack_positive: jax.Array
    slack_negative: jax.Array
    zeta_positive: jax.Array
    zeta_negative: jax.Array
    anneal_slack_positive: jax.Array
    anneal_slack_negative: jax.Array
    anneal_zeta_positive: jax.Array
    anneal_zeta_negative: jax.Array
    num_iterations: jax.Array
    warmup_iterations: jax.Array
    reward_weight: jax.Array
    discount: jax.Array
    cost_discount: jax.Array
    gae_lambda: jax.Array
    cost_gae_lambda: jax.Array
    target_kl: jax.Array
    kl_margin: jax.Array
    cg_damping: jax.Array
    accept_ratio: jax.Array
    critic_l2: jax.Array
    critic_learning_rate: jax.Array

    @classmethod
    def create(
        cls, *, cost_limit: float | Sequence[float], config: Config | None = None, **values: Any
    ) -> "Hyperparams":
        """Check values, fill in the defaults of `HYPERPARAM_DEFAULTS` and convert to float32 arrays.

        Traced values are converted without a check, so that `jax.vmap` of `create` builds the settings of a sweep.

        Args:
          cost_limit: one limit, or one for each constraint; its length is K.
          config: when given, zeta_positive is checked against the capacity it provides.
          **values: any other field; a scalar slack holds for every constraint.

        Raises:
          ValueError: naming the field, its value and what is allowed.
          TypeError: for a field that does not exist.
        """
        unknown = set(values) - set(HYPERPARAM_DEFAULTS)
        if unknown:
            raise TypeError(f"unknown hyperparameters {sorted(unknown)}: known are {sorted(HYPERPARAM_DEFAULTS)}")
        merged = {**HYPERPARAM_DEFAULTS, **values, "cost_limit": _at_least_1d(cost_limit)}
        num_constraints = merged["cost_limit"].size
        for name in ("slack_positive", "slack_negative"):
            merged[name] = _at_least_1d(merged[name])
            if merged[name].size not in (1, num_constraints):
                raise ValueError(
                    f"{name} has {merged[name].size} values: it must have 1 or one per limit ({num_constraints})"
                )
        concrete = {name: value for name, value in merged.items() if not isinstance(value, jax.core.Tracer)}
        for name, (low, high, open_low, open_high) in _HYPERPARAM_RANGES.items():
            for value in np.atleast_1d(concrete.get(name, ())):
                _require_range(name, float(value), low, high, open_low=open_low, open_high=open_high)
        # Compared as float32, so that a value that comes back from an array passes.
        zeta_positive = concrete.get("zeta_positive", 0.0)
        if config is not None and np.float32(zeta_positive) > np.float32(config.max_zeta_positive):
            raise ValueError(
                f"zeta_positive is {zeta_positive}: it must be at most max_zeta_positive "
                f"({config.max_zeta_positive}), which sets the capacity of the rollout"
            )
        for name in ("slack_positive", "slack_negative"):
            merged[name] = jnp.broadcast_to(merged[name], (num_constraints,))
        return cls(**{name: jnp.asarray(value, jnp.float32) for name, value in merged.items()})

    def replace(self, *, config: Config | None = None, **changes: Any) -> "Hyperparams":
        """The same settings with some changes, checked and converted as by `create`; this never recompiles."""
        current = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return Hyperparams.create(config=config, **{**current, **changes})


# The lineage's Safety-MuJoCo values (PAPER.md section 6, Table 4); a task's own are in presets.py.
HYPERPARAM_DEFAULTS: dict[str, Any] = {
    "slack_positive": 0.0,
    "slack_negative": 0.0,
    "zeta_positive": 0.1,
    "zeta_negative": -0.3,
    "anneal_slack_positive": False,
    "anneal_slack_negative": False,
    "anneal_zeta_positive": False,
    "anneal_zeta_negative": False,
    "num_iterations": 500,
    "warmup_iterations": 40,
    "reward_weight": 0.5,
    "discount": 0.995,
    "cost_discount": 0.995,
    "gae_lambda": 0.97,
    "cost_gae_lambda": 0.97,
    "target_kl": 0.05,
    "kl_margin": 1.5,
    "cg_damping": 0.1,
    "accept_ratio": 0.1,
    "critic_l2": 1e-3,
    "critic_learning_rate": 1e-3,
}

_INF = math.inf
# name: (lowest, highest, lowest excluded, highest excluded)
_HYPERPARAM_RANGES: dict[str, tuple[float, float, bool, bool]] = {
    "cost_limit": (0.0, _INF, False, True),
    "slack_positive": (0.0, _INF, False, False),
    "slack_negative": (-_INF, 0.0, False, False),
    "zeta_positive": (0.0, _INF, False, True),
    "zeta_negative": (-1.0, 0.0, True, False),
    "anneal_slack_positive": (0.0, 1.0, False, False),
    "anneal_slack_negative": (0.0, 1.0, False, False),
    "anneal_zeta_positive": (0.0, 1.0, False, False),
    "anneal_zeta_negative": (0.0, 1.0, False, False),
    "num_iterations": (1.0, _INF, False, True),
    "warmup_iterations": (0.0, _INF, False, True),
    "reward_weight": (0.0, 1.0, False, False),
    "discount": (0.0, 1.0, False, False),
    "cost_discount": (0.0, 1.0, False, False),
    "gae_lambda": (0.0, 1.0, False, False),
    "cost_gae_lambda": (0.0, 1.0, False, False),
    "target_kl": (0.0, _INF, True, True),
    "kl_margin": (1.0, _INF, False, False),
    "cg_damping": (0.0, _INF, False, True),
    "accept_ratio": (0.0, 1.0, False, True),
    "critic_l2": (0.0, _INF, False, True),
    "critic_learning_rate": (0.0, _INF, True, True),
}


def _at_least_1d(value: Any) -> Any:
    return jnp.atleast_1d(value) if isinstance(value, jax.Array) else np.atleast_1d(np.asarray(value, np.float64))


def _require_int(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not 1 <= int(value) < 2**31:
        raise ValueError(f"{name} is {value!r}: it must be a positive integer below 2^31")


def _require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}: it must be one of {', '.join(choices)}")


def _require_range(
    name: str, value: float, low: float, high: float, *, open_low: bool = False, open_high: bool = False
) -> None:
    above = value > low if open_low else value >= low
    below = value < high if open_high else value <= high
    if not (above and below):  # also when value is nan
        bounds = f"{'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
        raise ValueError(f"{name} is {value:g}: it must lie in {bounds}")
