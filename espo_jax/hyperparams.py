"""`Hyperparams`: the traced settings; changing one never recompiles."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from espo_jax.config import Config
from espo_jax.validation import require_number, require_range


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Hyperparams:
    """What may change without recompiling; build it with `Hyperparams.create`, which checks and converts.

    Every field is a float32 array of shape [], or [K] for the fields of a constraint (K constraints).

    Args:
      cost_limit: [K] b, limit on the undiscounted cost of an episode.
      slack_positive: [K] h+ >= 0, above b + h+ only the cost is lowered; inf is legal (never cost only); None is 10 %
        of the limit.
      slack_negative: [K] h- <= 0, below b + h- only the reward is raised; -inf is legal (never reward only); None is
        -10 % of the limit.
      zeta_positive: zeta+ >= 0, relative growth of the sample size after a conflict; for the other sample-size rules:
        the upper bound of its relative change.
      zeta_negative: zeta- in (-1, 0], relative change of the sample size in every other case; for the other
        sample-size rules: the lower bound.
      anneal_slack_positive, anneal_slack_negative, anneal_zeta_positive, anneal_zeta_negative: switch of
        Algorithm 1, line 1: each iteration takes 1/num_iterations of the quantity away from it.
      num_iterations: T, the horizon of the annealing.
      warmup_iterations: iterations of reward-only optimisation before the constraints count.
      reward_weight: x_r in [0, 1], weight of the reward in the balance mode; the constraints share 1 - x_r.
      cagrad_radius: c of cagrad, how far its direction may leave the weighted one, relative to that one's length.
      cost_tolerance: [K] eta of crpo, by how much the cost may exceed its limit before it is lowered.
      variance_tolerance: theta of norm_test and inner_product_test, the relative error allowed to a gradient.
      discount, cost_discount: gamma for the reward and for the costs, in [0, 1].
      gae_lambda, cost_gae_lambda: lambda of the advantages, in [0, 1].
      target_kl: delta, KL radius of a step, in nats.
      kl_margin: the line search accepts a KL of up to target_kl times this.
      cg_damping: added to the diagonal of the Fisher matrix.
      accept_ratio: least actual over predicted improvement that the line search accepts.
      critic_l2: weight of the critics' squared parameters in their loss.
      critic_learning_rate: learning rate of the critics (adam).
      policy_learning_rate: learning rate of first-order policy updates (cup, ppo_lagrangian).
      clip_ratio: epsilon of the clipped surrogate, in (0, 1).
      multiplier_init, multiplier_learning_rate, multiplier_max: [K] of the Lagrange multipliers; inf is no bound.
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
    cagrad_radius: jax.Array
    cost_tolerance: jax.Array
    variance_tolerance: jax.Array
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
    policy_learning_rate: jax.Array
    clip_ratio: jax.Array
    multiplier_init: jax.Array
    multiplier_learning_rate: jax.Array
    multiplier_max: jax.Array

    @classmethod
    def create(
        cls, *, cost_limit: float | Sequence[float], config: Config | None = None, **values: Any
    ) -> "Hyperparams":
        """Check values, fill in the defaults of `HYPERPARAM_DEFAULTS` and convert to float32 arrays.

        Traced values are converted without a check, so that `jax.vmap` of `create` builds the settings of a sweep.

        Args:
          cost_limit: one limit, or one for each constraint; its length is K.
          config: static settings whose capacity zeta_positive is checked against; None are those of `Config()`.
          **values: any other field; a scalar holds for every constraint.

        Raises:
          ValueError: naming the field, its value and what is allowed.
          TypeError: for a field that does not exist.
        """
        unknown = set(values) - set(HYPERPARAM_DEFAULTS)
        if unknown:
            raise TypeError(f"unknown hyperparameters {sorted(unknown)}: known are {sorted(HYPERPARAM_DEFAULTS)}")
        merged = fill_defaults({**values, "cost_limit": _at_least_1d("cost_limit", cost_limit)})
        num_constraints = merged["cost_limit"].size
        if num_constraints == 0:
            raise ValueError("cost_limit has no values: it must have one for each constraint, at least one")
        for name in PER_CONSTRAINT[1:]:
            merged[name] = _at_least_1d(name, merged[name])
            if merged[name].size not in (1, num_constraints):
                raise ValueError(
                    f"{name} has {merged[name].size} values: it must have 1 or one per limit ({num_constraints})"
                )
        concrete = {name: value for name, value in merged.items() if not isinstance(value, jax.core.Tracer)}
        for name, (low, high, open_low, open_high) in _HYPERPARAM_RANGES.items():
            for value in np.atleast_1d(concrete.get(name, ())):
                require_number(name, value)
                require_range(name, float(value), low, high, open_low=open_low, open_high=open_high)
        for name in PER_CONSTRAINT[1:]:
            merged[name] = jnp.broadcast_to(merged[name], (num_constraints,))
        created = cls(**{name: jnp.asarray(value, jnp.float32) for name, value in merged.items()})
        created.check_capacity(Config() if config is None else config)
        return created

    @property
    def is_traced(self) -> bool:
        """Whether any value is traced, so that values cannot be checked."""
        return any(isinstance(value, jax.core.Tracer) for value in vars(self).values())

    def check_capacity(self, config: Config) -> None:
        """Refuse a zeta_positive, unless it is traced, that the rollout buffer of a config has no room for.

        Raises:
          ValueError: naming the field, its value and what is allowed.
        """
        if isinstance(self.zeta_positive, jax.core.Tracer):
            return
        zeta_positive = np.max(np.asarray(self.zeta_positive))
        if zeta_positive > np.float32(config.max_zeta_positive):
            raise ValueError(
                f"zeta_positive is {zeta_positive:g}: it must be at most max_zeta_positive "
                f"({config.max_zeta_positive:g}) of the config, which sets the capacity of the rollout; give the "
                "config in use where it is not the default one"
            )

    def replace(self, *, config: Config | None = None, **changes: Any) -> "Hyperparams":
        """The same settings with some changes, checked and converted as by `create`; this never recompiles.

        The slacks stay as they are, also where the cost_limit changes that a default was taken from.
        """
        current = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return Hyperparams.create(config=config, **{**current, **changes})


# Fields [K].
PER_CONSTRAINT = (
    "cost_limit",
    "slack_positive",
    "slack_negative",
    "cost_tolerance",
    "multiplier_init",
    "multiplier_learning_rate",
    "multiplier_max",
)

# The lineage's Safety-MuJoCo values (docs/paper.md, section 6, Table 4); a task's own are in presets.py.
HYPERPARAM_DEFAULTS: dict[str, Any] = {
    "slack_positive": None,
    "slack_negative": None,
    "zeta_positive": 0.1,
    "zeta_negative": -0.3,
    "anneal_slack_positive": False,
    "anneal_slack_negative": False,
    "anneal_zeta_positive": False,
    "anneal_zeta_negative": False,
    "num_iterations": 500,
    "warmup_iterations": 0,
    "reward_weight": 0.5,
    "cagrad_radius": 0.5,
    "cost_tolerance": 0.0,
    "variance_tolerance": 0.9,
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
    "policy_learning_rate": 3e-4,
    "clip_ratio": 0.2,
    "multiplier_init": 0.001,
    "multiplier_learning_rate": 0.035,
    "multiplier_max": math.inf,
}

# Half the width of the default band around the limit. Without a width there is no balance mode and no conflict, and
# ESPO would be CRPO on X(1 + zeta-) samples. The paper's own bands are 20 % (HumanoidStandup), 36 % (HopperVelocity)
# and 50 % (AntVelocity) of the limit wide on a side, or open.
DEFAULT_SLACK = 0.1


def fill_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values completed by HYPERPARAM_DEFAULTS, and by the band of DEFAULT_SLACK around values["cost_limit"].

    Args:
      values: keyword arguments of `Hyperparams.create`, cost_limit among them; None stands for the default.
    """
    merged = {**HYPERPARAM_DEFAULTS, **{name: value for name, value in values.items() if value is not None}}
    limit = _at_least_1d("cost_limit", merged["cost_limit"])
    for name, share in (("slack_positive", DEFAULT_SLACK), ("slack_negative", -DEFAULT_SLACK)):
        if merged[name] is None:
            slack = share * limit
            merged[name] = slack if isinstance(slack, jax.Array) else slack.tolist()
    return merged


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
    "cagrad_radius": (0.0, 1.0, False, True),
    "cost_tolerance": (0.0, _INF, False, True),
    "variance_tolerance": (0.0, _INF, True, True),
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
    "policy_learning_rate": (0.0, _INF, True, True),
    "clip_ratio": (0.0, 1.0, True, True),
    "multiplier_init": (0.0, _INF, False, True),
    "multiplier_learning_rate": (0.0, _INF, False, True),
    "multiplier_max": (0.0, _INF, False, False),
}


def _at_least_1d(name: str, value: Any) -> Any:
    if isinstance(value, jax.Array):
        return jnp.atleast_1d(value)
    try:
        return np.atleast_1d(np.asarray(value, np.float64))
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}: it must be a number, or one per constraint") from None
