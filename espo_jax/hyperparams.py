"""`Hyperparams`: the traced settings; changing one never recompiles."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from espo_jax.config import Config
from espo_jax.settings import MISSING, MOST_CONSTRAINTS, documented, settings_of, traced

# Half the width of the default band around the limit. Without a width there is no balance mode and no conflict, and
# ESPO would equal CRPO with X(1 + zeta-) samples. The paper's own bands are 20 % (HumanoidStandup), 36 %
# (HopperVelocity) and 50 % (AntVelocity) of the limit wide on a side, or open.
DEFAULT_SLACK = 0.1


@jax.tree_util.register_dataclass
@documented
@dataclasses.dataclass(frozen=True)
class Hyperparams:
    """Settings that may change without recompiling. `Hyperparams.create` makes one: it checks and converts.

    Every field is a float32 array of shape [], or [K] where there is one value for each of the K constraints. The
    defaults are those of the paper's Safety-MuJoCo experiments (docs/paper.md, section 6, Table 4), except for the
    band around the limit; presets.py has those of each task.
    """

    cost_limit: jax.Array = traced(
        MISSING,
        "limit on the undiscounted cost of an episode",
        symbol="b",
        range="[0, inf)",
        per_constraint=True,
        none="the task's own",
    )
    slack_positive: jax.Array = traced(
        None,
        "upper slack: above the limit plus this, only the cost is lowered; inf disables the cost-only mode",
        symbol="h+",
        range="[0, inf]",
        per_constraint=True,
        none="10 % of the limit",
    )
    slack_negative: jax.Array = traced(
        None,
        "lower slack: below the limit plus this, only the reward is raised; -inf disables the reward-only mode",
        symbol="h-",
        range="[-inf, 0]",
        per_constraint=True,
        none="-10 % of the limit",
    )
    zeta_positive: jax.Array = traced(
        0.1,
        "relative growth of the sample size after a conflict; for the other sample-size rules: the upper bound of the "
        "relative change",
        symbol="zeta+",
        range="[0, inf)",
    )
    zeta_negative: jax.Array = traced(
        -0.3,
        "relative change of the sample size in every other case; for the other sample-size rules: the lower bound of "
        "the relative change",
        symbol="zeta-",
        range="(-1, 0]",
    )
    anneal_slack_positive: jax.Array = traced(
        False,
        "whether each iteration takes 1/num_iterations of slack_positive away (Algorithm 1, line 1)",
        range="[0, 1]",
    )
    anneal_slack_negative: jax.Array = traced(
        False,
        "whether each iteration takes 1/num_iterations of slack_negative away (Algorithm 1, line 1)",
        range="[0, 1]",
    )
    anneal_zeta_positive: jax.Array = traced(
        False,
        "whether each iteration takes 1/num_iterations of zeta_positive away (Algorithm 1, line 1)",
        range="[0, 1]",
    )
    anneal_zeta_negative: jax.Array = traced(
        False,
        "whether each iteration takes 1/num_iterations of zeta_negative away (Algorithm 1, line 1)",
        range="[0, 1]",
    )
    num_iterations: jax.Array = traced(
        500,
        "horizon of the annealing, in iterations",
        symbol="T",
        range="[1, inf)",
        changeable=True,
        flag_words="number of iterations to run; also the ",
    )
    warmup_iterations: jax.Array = traced(
        0, "number of iterations of reward-only optimisation before the constraints count", range="[0, inf)"
    )
    reward_weight: jax.Array = traced(
        0.5,
        "weight of the reward in the balance mode; the constraints share the rest",
        symbol="x_r",
        range="[0, 1]",
    )
    cagrad_radius: jax.Array = traced(
        0.5,
        "how far the direction of cagrad may leave the weighted one, relative to the length of the weighted one",
        symbol="c",
        range="[0, 1)",
    )
    cost_tolerance: jax.Array = traced(
        0.0,
        "by how much the cost may exceed its limit before crpo lowers it",
        symbol="eta",
        range="[0, inf)",
        per_constraint=True,
    )
    variance_tolerance: jax.Array = traced(
        0.9,
        "relative error of a gradient that norm_test and inner_product_test allow",
        symbol="theta",
        range="(0, inf)",
    )
    discount: jax.Array = traced(0.995, "discount of the reward", symbol="gamma", range="[0, 1]")
    cost_discount: jax.Array = traced(0.995, "discount of the costs", symbol="gamma", range="[0, 1]")
    gae_lambda: jax.Array = traced(0.97, "lambda of the reward's advantages", symbol="lambda", range="[0, 1]")
    cost_gae_lambda: jax.Array = traced(0.97, "lambda of the costs' advantages", symbol="lambda", range="[0, 1]")
    target_kl: jax.Array = traced(0.05, "KL radius of a step, in nats", symbol="delta", range="(0, inf)")
    kl_margin: jax.Array = traced(
        1.5, "the line search accepts a KL divergence of up to target_kl times this", range="[1, inf]"
    )
    cg_damping: jax.Array = traced(0.1, "number that is added to the diagonal of the Fisher matrix", range="[0, inf)")
    accept_ratio: jax.Array = traced(
        0.1, "smallest ratio of actual to predicted improvement that the line search accepts", range="[0, 1)"
    )
    critic_l2: jax.Array = traced(1e-3, "weight of the critics' squared parameters in their loss", range="[0, inf)")
    critic_learning_rate: jax.Array = traced(1e-3, "learning rate when adam fits the critics", range="(0, inf)")
    policy_learning_rate: jax.Array = traced(
        3e-4, "learning rate of first-order policy updates (cup, ppo_lagrangian)", range="(0, inf)"
    )
    anneal_policy_learning_rate: jax.Array = traced(
        False,
        "whether policy_learning_rate falls linearly, to 0 after num_iterations",
        range="[0, 1]",
        earlier=False,
    )
    clip_ratio: jax.Array = traced(0.2, "clip ratio of the clipped surrogate", symbol="epsilon", range="(0, 1)")
    multiplier_init: jax.Array = traced(
        0.001, "first value of the Lagrange multipliers", symbol="nu", range="[0, inf)", per_constraint=True
    )
    multiplier_learning_rate: jax.Array = traced(
        0.035, "learning rate of the Lagrange multipliers", range="[0, inf)", per_constraint=True
    )
    multiplier_max: jax.Array = traced(
        math.inf, "upper bound on the Lagrange multipliers; inf is no bound", range="[0, inf]", per_constraint=True
    )

    @classmethod
    def create(
        cls, *, cost_limit: float | Sequence[float], config: Config | None = None, **values: Any
    ) -> "Hyperparams":
        """Check values, fill in the declared defaults and convert to float32 arrays.

        Traced values are converted without a check, so that `jax.vmap` of `create` builds the settings of a sweep.

        Args:
          cost_limit: one limit, or one for each constraint; its length is K.
          config: static settings whose capacity zeta_positive is checked against; None stands for `Config()`.
          **values: any other field; a scalar holds for every constraint.

        Raises:
          ValueError: naming the field, its value and what is allowed.
          TypeError: for a field that does not exist.
        """
        filled = _checked({**values, "cost_limit": cost_limit})
        created = cls(**{name: jnp.asarray(value, jnp.float32) for name, value in filled.items()})
        created.check_capacity(Config() if config is None else config)
        return created

    @classmethod
    def stack(cls, runs: Sequence[Mapping[str, Any]]) -> "Hyperparams":
        """The settings of R runs with equal numbers of constraints, as NumPy arrays [R] or [R, K].

        It is many times faster than stacking what `create` returns.

        Args:
          runs: keyword arguments of `create` without `config`, for each run; the capacity is not checked.

        Raises:
          ValueError: naming the field, its value and what is allowed.
        """
        found = [_checked(values) for values in runs]
        stacked: dict[str, Any] = {name: np.stack([values[name] for values in found]) for name in SETTINGS}
        return cls(**{name: value.astype(np.float32) for name, value in stacked.items()})

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

        The slacks stay as they are, even if the cost_limit changes that their default was taken from.
        """
        current = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return Hyperparams.create(config=config, **{**current, **changes})


SETTINGS = settings_of(Hyperparams)


def _checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting of `Hyperparams.create`: checked, unless it is traced, and with shape [] or [K]."""
    unknown = set(values) - set(SETTINGS)
    if unknown:
        raise TypeError(f"unknown hyperparameters {sorted(unknown)}: known are {sorted(SETTINGS)}")
    filled = fill_defaults({**values, "cost_limit": _at_least_1d("cost_limit", values["cost_limit"])})
    num_constraints = filled["cost_limit"].size
    if not 1 <= num_constraints <= MOST_CONSTRAINTS:
        raise ValueError(
            f"cost_limit has {num_constraints} values: one for each constraint, from 1 to {MOST_CONSTRAINTS}"
        )
    for name, declared in SETTINGS.items():
        if declared.per_constraint:
            filled[name] = _at_least_1d(name, filled[name])
            if filled[name].size not in (1, num_constraints):
                raise ValueError(
                    f"{name} has {filled[name].size} values: it must have 1 or one per limit ({num_constraints})"
                )
        if not isinstance(filled[name], jax.core.Tracer):
            for value in np.atleast_1d(filled[name]):
                declared.check(name, value)
        if declared.per_constraint:
            broadcast = jnp.broadcast_to if isinstance(filled[name], jax.Array) else np.broadcast_to
            filled[name] = broadcast(filled[name], (num_constraints,))
    return filled


def fill_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values completed by the declared defaults, and by the band of DEFAULT_SLACK around values["cost_limit"].

    Args:
      values: keyword arguments of `Hyperparams.create`, cost_limit among them; None stands for the default.
    """
    given = {name: value for name, value in values.items() if value is not None}
    filled = {**{name: declared.default for name, declared in SETTINGS.items()}, **given}
    limit = _at_least_1d("cost_limit", filled["cost_limit"])
    for name, share in (("slack_positive", DEFAULT_SLACK), ("slack_negative", -DEFAULT_SLACK)):
        if filled[name] is None:
            slack = share * limit
            filled[name] = slack if isinstance(slack, jax.Array) else slack.tolist()
    return filled


def _at_least_1d(name: str, value: Any) -> Any:
    if isinstance(value, jax.Array):
        return jnp.atleast_1d(value)
    try:
        return np.atleast_1d(np.asarray(value, np.float64))
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}: it must be a number, or one per constraint") from None
