"""ESPO, PCRPO and CRPO with a softmax policy whose logits are a table, from the library's own functions.

The modes, the comparison and projection of the two objectives, and the sample sizes are those of `espo_jax`. What is
here is the natural step of the tabular case (docs/paper.md, section 8) and the loop over T iterations.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from espo_jax import conflict, modes, sample_size
from espo_jax.algorithms import crpo
from espo_jax.linalg import combine
from tabular.cmdp import CMDP, Values, evaluate
from tabular.readings import READINGS, objectives

LARGEST = 1_000_000  # samples of an iteration


class Settings(NamedTuple):
    """Settings of a run; all of them are traced.

    Args:
      step_size: eta; the logits move by eta / (1 - gamma) times the direction.
      slack_positive: h+; CRPO's tolerance too.
      slack_negative: h-.
      reward_weight: x_r.
      base: X, samples of an iteration.
      zeta_positive, zeta_negative: zeta+ and zeta-; both are 0 for a fixed size.
    """

    step_size: jax.Array | float
    slack_positive: jax.Array | float
    slack_negative: jax.Array | float = 0.0
    reward_weight: jax.Array | float = 0.5
    base: jax.Array | int = 1000
    zeta_positive: jax.Array | float = 0.0
    zeta_negative: jax.Array | float = 0.0


class Record(NamedTuple):
    """One iteration.

    Args:
      value: [2] exact V_r and V_c of the policy that is updated.
      mode: [] int, see `modes.MODE_NAMES`.
      weight: [] weight of this policy in the output: 1 for reward only, 0 for cost only, the coefficient of the reward
        for a balance.
      angle: [] radians between the two objectives.
      sample_size: [] int, samples from which this iteration's Q tables were estimated: those that were taken, which
        may be a few more or less than the rule asked for. With exact values, those that the rule asked for.
    """

    value: jax.Array
    mode: jax.Array
    weight: jax.Array
    angle: jax.Array
    sample_size: jax.Array


class Move(NamedTuple):
    """What an iteration does.

    Args:
      change: [S, A] change of the logits before the step size.
      mode: [] int.
      weight: [] weight of the policy in the output.
      angle: [] radians.
      next_size: [] int, samples of the next iteration.
    """

    change: jax.Array
    mode: jax.Array
    weight: jax.Array
    angle: jax.Array
    next_size: jax.Array


def decide(
    q: jax.Array, policy: jax.Array, visits: jax.Array, cost: jax.Array, limit: jax.Array, settings: Settings,
    *, reading: str = "centred", algorithm: str = "espo",
) -> Move:  # fmt: skip
    """Mode, direction and next sample size of an iteration, by the library's functions.

    Args:
      q: [2, S, A] Q of the reward and of the cost, exact or estimated.
      policy: [S, A].
      visits: [S] discounted share of the time in each state; only two readings look at it.
      cost: [] V_c, exact or estimated.
      limit: [] b.
      settings: of the run.
      reading: name in READINGS.
      algorithm: name in CHOICES.
    """
    choice = CHOICES[algorithm](cost[None], limit[None], settings)
    metric = conflict.METRICS[READINGS[reading].metric]
    vectors = objectives(q, policy, visits, READINGS[reading].centre)
    gram = metric.gram(vectors.gradient, vectors.direction, vectors.direction)
    conflicting = choice.balance & conflict.in_conflict(gram, choice.active)
    projected = conflict.resolve("projection", gram, choice.weight, choice.active, cagrad_radius=0.0)
    coefficients = jnp.where(choice.balance, projected, choice.weight)
    size = sample_size.gradient_conflict(settings.base, conflicting, settings.zeta_positive, settings.zeta_negative)
    return Move(
        change=combine(coefficients, vectors.direction).reshape(policy.shape),
        mode=modes.mode_of(choice.active, conflicting),
        weight=coefficients[0],
        angle=conflict.conflict_angle(gram, jnp.array([True, True])),
        next_size=sample_size.whole_samples(size, LARGEST),
    )


def three_modes(cost: jax.Array, limit: jax.Array, settings: Settings) -> modes.ModeChoice:
    slacks = jnp.full_like(cost, settings.slack_positive), jnp.full_like(cost, settings.slack_negative)
    return modes.choose_mode(cost, limit, *slacks, settings.reward_weight)


def two_modes(cost: jax.Array, limit: jax.Array, settings: Settings) -> modes.ModeChoice:
    return crpo.switch(cost, limit, settings.slack_positive)


# PCRPO is ESPO whose zeta+ and zeta- are 0.
CHOICES: dict[str, Callable[..., modes.ModeChoice]] = {"espo": three_modes, "crpo": two_modes}

# (cmdp, policy, exact values, samples to take, key) -> (estimates of the same values, samples taken)
Estimator = Callable[[CMDP, jax.Array, Values, jax.Array, jax.Array], tuple[Values, jax.Array]]


def exactly(
    cmdp: CMDP, policy: jax.Array, values: Values, samples: jax.Array, key: jax.Array
) -> tuple[Values, jax.Array]:
    """The exact values as an estimator, which takes as many samples as it is asked for."""
    del cmdp, policy, key
    return values, samples


class Totals(NamedTuple):
    """Sums over the iterations of a run.

    Args:
      weight: [] of the weights of the policies in the output.
      value: [2] of the weights times V_r and V_c.
      modes: [4] number of iterations of each mode.
    """

    weight: jax.Array
    value: jax.Array
    modes: jax.Array


def iteration(
    cmdp: CMDP, settings: Settings, key: jax.Array, *,
    reading: str = "centred", algorithm: str = "espo", estimator: Estimator = exactly,
) -> Callable[[tuple, jax.Array], tuple[tuple, Record]]:  # fmt: skip
    """One iteration, as `run` repeats it: ((logits, sample size), number of the iteration) -> (the same, Record)."""

    def iterate(carry: tuple, number: jax.Array) -> tuple[tuple, Record]:
        table, size = carry
        policy = jax.nn.softmax(table, axis=-1)
        exact = evaluate(cmdp, policy)
        seen, taken = estimator(cmdp, policy, exact, size, jax.random.fold_in(key, number))
        move = decide(
            seen.q, policy, seen.visits, seen.value[1], cmdp.limit, settings, reading=reading, algorithm=algorithm
        )
        record = Record(exact.value, move.mode, move.weight, move.angle, taken)
        return (table + settings.step_size / (1 - cmdp.discount) * move.change, move.next_size), record

    return iterate


def begin(settings: Settings, logits: jax.Array) -> tuple:
    """Logits and sample size before the first iteration."""
    return logits, sample_size.whole_samples(sample_size.fixed(settings.base), LARGEST)


def run(
    cmdp: CMDP, settings: Settings, logits: jax.Array, key: jax.Array, *, num_iterations: int, **static: Any
) -> Record:
    """T iterations.

    Args:
      cmdp: the problem.
      settings: of the run.
      logits: [S, A] at the start; zeros for the uniform policy.
      key: PRNG key; exact values ignore it.
      num_iterations: T.
      **static: reading (a name in READINGS), algorithm (a name in CHOICES), and estimator (what the update sees; the
        exact values if it is left out).

    Returns:
      Record of each iteration, [T, ...].
    """
    step = iteration(cmdp, settings, key, **static)
    return jax.lax.scan(step, begin(settings, logits), jnp.arange(num_iterations))[1]


def run_totals(
    cmdp: CMDP, settings: Settings, logits: jax.Array, key: jax.Array, num_iterations: jax.Array, **static: Any
) -> Totals:
    """The sums over the iterations of `run`, in memory that does not grow with T, which is traced."""
    step = iteration(cmdp, settings, key, **static)

    def add(number: jax.Array, carry: tuple) -> tuple:
        state, totals = carry
        state, record = step(state, number)
        sums = (record.weight, record.weight * record.value, jnp.arange(4) == record.mode)
        return state, Totals(*(total + part for total, part in zip(totals, sums, strict=True)))

    zero = Totals(jnp.zeros(()), jnp.zeros(2), jnp.zeros(4, int))
    return jax.lax.fori_loop(0, num_iterations, add, (begin(settings, logits), zero))[1]


def of_theorem(cmdp: CMDP, num_iterations: int | jax.Array, **changes) -> Settings:
    """The settings of Theorem 4.1 with 1 as the constant of h+.

        eta = (1 - gamma)^1.5 / sqrt(S A T),   h- = 0,   h+ = sqrt(S A) / ((1 - gamma)^1.5 sqrt(T))

    Args:
      cmdp: one CMDP, or stacked ones.
      num_iterations: T.
      **changes: other fields of Settings.
    """
    pairs = cmdp.reward.shape[-2] * cmdp.reward.shape[-1]
    horizon = (1 - cmdp.discount) ** 1.5
    step_size = horizon / jnp.sqrt(pairs * num_iterations)
    return Settings(step_size, jnp.sqrt(pairs / num_iterations) / horizon)._replace(**changes)
