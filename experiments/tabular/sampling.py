"""Q tables from samples: rollouts from every state and action, on the policy, with a fixed capacity and a mask."""

import functools

import jax
import jax.numpy as jnp

from tabular.algorithm import Estimator
from tabular.cmdp import CMDP, Values


@functools.cache
def rollouts(horizon: int, capacity: int) -> Estimator:
    """An estimator by Monte Carlo: the mean discounted return of H steps from every state and action.

    Rollout i starts at the pair (first + i) mod S A, where `first` is drawn anew in each iteration. So X samples are
    X / H rollouts, spread evenly over the pairs, and no pair gets the remainder more often than another. An iteration
    takes the nearest whole number of rollouts to its sample size, but at least one for each pair. The mean of the
    returns is unbiased for the Q of H steps, which differs from Q by at most gamma^H / (1 - gamma) times the largest
    reward. V_c is the mean of the same Q over the first state and the policy.

    Args:
      horizon: H, steps of a rollout.
      capacity: the largest number of rollouts; at least S A.
    """

    def estimate(
        cmdp: CMDP, policy: jax.Array, values: Values, samples: jax.Array, key: jax.Array
    ) -> tuple[Values, jax.Array]:
        states, actions = policy.shape
        pairs = states * actions
        # From a pair to the next pair: the next state, then the policy's action there.
        move = jnp.einsum("sat,tb->satb", cmdp.transition, policy).reshape(pairs, pairs)
        limits = jnp.cumsum(move, axis=-1).at[:, -1].set(1.0).astype(jnp.float32)
        signals = jnp.stack([cmdp.reward, cmdp.cost]).reshape(2, pairs)
        first_key, step_key = jax.random.split(key)
        first = (jax.random.randint(first_key, (), 0, pairs) + jnp.arange(capacity)) % pairs

        def step(carry: tuple, uniforms: jax.Array) -> tuple[tuple, None]:
            pair, returns, weight = carry
            returns = returns + weight * signals[:, pair]
            after = jnp.sum(uniforms[:, None] >= limits[pair], axis=-1)
            return (after, returns, weight * cmdp.discount), None

        uniforms = jax.random.uniform(step_key, (horizon, capacity), jnp.float32)
        begin = (first, jnp.zeros((2, capacity)), jnp.ones(()))
        (_, returns, _), _ = jax.lax.scan(step, begin, uniforms)
        count = jnp.clip(jnp.round(samples / horizon).astype(int), pairs, capacity)
        taken = jnp.arange(capacity) < count
        of_pair = (first[:, None] == jnp.arange(pairs)[None]) & taken[:, None]
        q = (returns @ of_pair.astype(returns.dtype)) / jnp.sum(of_pair, axis=0)
        q = q.reshape(2, states, actions)
        value = jnp.einsum("s,sa,ksa->k", cmdp.start, policy, q)
        return Values(q, value, values.visits), horizon * count

    return estimate


def q_of(cmdp: CMDP, policy: jax.Array, horizon: int) -> jax.Array:
    """Exact Q of H steps, [2, S, A]: the mean of what `rollouts` estimates."""
    signals = jnp.stack([cmdp.reward, cmdp.cost])
    q = jnp.zeros_like(signals)
    for _ in range(horizon):
        after = jnp.einsum("sa,ksa->ks", policy, q)
        q = signals + cmdp.discount * jnp.einsum("sat,kt->ksa", cmdp.transition, after)
    return q
