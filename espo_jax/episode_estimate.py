"""V_r, V_c and the length of an episode under the current policy, from samples that need not be whole episodes."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from espo_jax.rollout import Rollout

# The number of episodes from which the chance of termination is estimated where an iteration has fewer episodes.
# LONG_MEMORY has a small statistical error; it holds while recent terminations are as many as the table says.
# SHORT_MEMORY lags less; it holds when the policy has learnt to stay up, or to fall (figures: docs/algorithms.md).
LONG_MEMORY, SHORT_MEMORY = 1500, 300
# The memory begins to shorten at the first number of standard deviations between the two, and is short at the second.
_SURPRISE = (2.0, 3.5)
# Smallest number of samples for each age, on average, with which each age has its own mean.
_VISITS_PER_BIN = 16
# Weight of the mean chance of termination in the chance at one age, as a number of visits of that age.
_PRIOR_VISITS = 0.1


class LifeTable(NamedTuple):
    """At which ages episodes terminate: counts of this iteration and, with less weight, of the iterations before it.

    Args:
      visits: [H] number of samples at each age. An age is a number of agent steps; H is the time limit.
      terminations: [H] number of these samples that ended in a termination.
      recent: [3] counts over the short memory: samples, terminations, and terminations that the table expected.
    """

    visits: jax.Array
    terminations: jax.Array
    recent: jax.Array


class EpisodeEstimate(NamedTuple):
    """Estimates for an episode under the current policy.

    Args:
      reward: [] V_r, undiscounted reward.
      cost: [K] V_c, undiscounted costs.
      length: [] length in agent steps.
    """

    reward: jax.Array
    cost: jax.Array
    length: jax.Array


def no_episodes(episode_length: int, num_constraints: int) -> tuple[EpisodeEstimate, LifeTable]:
    """The estimates before the first sample: zeros and an empty life table.

    Args:
      episode_length: H, the time limit in agent steps.
      num_constraints: K.
    """
    estimate = EpisodeEstimate(jnp.float32(0.0), jnp.zeros(num_constraints), jnp.float32(episode_length))
    return estimate, LifeTable(jnp.zeros(episode_length), jnp.zeros(episode_length), jnp.zeros(3))


@jax.named_scope("estimate_episodes")
def estimate_episodes(
    rollout: Rollout, table: LifeTable, length: jax.Array | float
) -> tuple[EpisodeEstimate, LifeTable]:
    """Estimate V_r, V_c and the length of an episode from the samples of one iteration, whole episodes or not.

        V = sum_a S(a) m(a),   S(a) = prod_{a' < a} (1 - h(a'))

    with m(a) the mean reward or cost of this iteration's samples at age a, and h(a) the chance of termination at age
    a. So a sample stands for S(a) / n(a) steps of an episode, n(a) being the number of samples at its age. Where an
    iteration has fewer than 16 samples for each age, neighbouring ages share a mean; those without any sample get the
    mean of all samples. Only rewards and costs of this iteration count, so a cost that falls is seen at once. It is the
    same formula for a thousand whole episodes and for a hundredth of one.
    The time limit is known and ends no episode in h, so the length is exact for tasks that only end there.
    h also counts earlier iterations where this one has few episodes (LONG_MEMORY, SHORT_MEMORY), and so lags while the
    length of episodes changes.

    Args:
      rollout: samples of this iteration.
      table: life table of the iterations before.
      length: [] estimated length before this iteration, in agent steps.

    Returns:
      EpisodeEstimate, and the LifeTable with this iteration.

    Reference: Kaplan & Meier 1958, "Nonparametric estimation from incomplete observations", for S.
    """
    visits, terminations = (
        jnp.zeros_like(table.visits).at[rollout.age].add(x.astype(jnp.float32))
        for x in (rollout.mask, rollout.terminated)
    )
    samples = jnp.maximum(jnp.sum(visits), 1)
    table = _remember(table, visits, terminations, length)
    survival = jnp.concatenate([jnp.ones(1), jnp.cumprod(1 - _hazard(table))[:-1]])

    width = jnp.ceil(_VISITS_PER_BIN * visits.size / samples).astype(jnp.int32)
    bins = rollout.age // width
    count = jnp.zeros_like(visits).at[bins].add(rollout.mask.astype(jnp.float32))
    edge = jnp.minimum(jnp.arange(visits.size + 1) * width, visits.size)
    steps = jnp.diff(jnp.concatenate([jnp.zeros(1), jnp.cumsum(survival)])[edge])
    unseen = jnp.sum(jnp.where(count == 0, steps, 0.0)) / samples
    weight = jnp.where(rollout.mask, (steps / jnp.maximum(count, 1))[bins] + unseen, 0.0)
    estimate = EpisodeEstimate(
        reward=jnp.sum(weight * rollout.reward),
        cost=jnp.sum(weight[..., None] * rollout.cost, axis=(0, 1)),
        length=jnp.sum(survival),
    )
    return estimate, table


def _hazard(table: LifeTable) -> jax.Array:
    """Chance h(a) that an episode of age a terminates with the next step: [H]."""
    mean = jnp.sum(table.terminations) / jnp.maximum(jnp.sum(table.visits), 1)
    return (table.terminations + _PRIOR_VISITS * mean) / (table.visits + _PRIOR_VISITS)


def _remember(table: LifeTable, visits: jax.Array, terminations: jax.Array, length: jax.Array | float) -> LifeTable:
    """The life table with the visits [H] and terminations [H] of an iteration; earlier counts lose weight."""
    samples, ended, known = jnp.sum(visits), jnp.sum(terminations), jnp.sum(table.terminations)

    def kept(steps: jax.Array, ends: jax.Array, episodes: jax.Array | float) -> jax.Array:
        """Share of earlier samples and terminations to keep: both count, since the length may be far off by now."""
        by_samples = (episodes * length - samples) / jnp.maximum(steps, 1)
        by_terminations = (episodes - ended) / jnp.maximum(ends, 1)
        return jnp.clip(jnp.minimum(by_samples, by_terminations), 0, 1)

    # A table that has seen no termination expects none.
    expected = jnp.where(known > 0, jnp.sum(visits * _hazard(table)), ended)
    recent = kept(table.recent[0], table.recent[1], SHORT_MEMORY) * table.recent
    recent = recent + jnp.stack([samples, ended, expected])
    _, observed, expected = recent
    deviation = jnp.sqrt(jnp.maximum(expected + jnp.square(expected) / jnp.maximum(known, 1), 1))
    surprise = jnp.abs(observed - expected) / deviation
    episodes = jnp.interp(surprise, jnp.array(_SURPRISE), jnp.array([LONG_MEMORY, SHORT_MEMORY], jnp.float32))
    weight = kept(jnp.sum(table.visits), known, episodes)
    return LifeTable(weight * table.visits + visits, weight * table.terminations + terminations, recent)
