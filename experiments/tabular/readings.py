"""Readings of "the angle between the gradients": the tables and the inner product in which they are compared."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Objectives(NamedTuple):
    """The two objectives as vectors.

    Args:
      gradient: [2, P] gradients of V_r and of -V_c in the logits, times 1 - gamma.
      direction: [2, P] natural directions. A constant added to a state's row changes no policy, so that all
        readings move the policy alike; it changes the Euclidean angle.
    """

    gradient: jax.Array
    direction: jax.Array


def policy_mean(q: jax.Array, policy: jax.Array) -> jax.Array:
    """Mean of each state's row under the policy, [2, S, 1]."""
    return jnp.sum(policy[None] * q, axis=-1, keepdims=True)


class Reading(NamedTuple):
    """One reading of "the angle between the gradients".

    Args:
      centre: (Q [2, S, A], policy [S, A]) -> [2, S, 1], what each state's row is counted from.
      metric: name in `conflict.METRICS`.
      words: what it is, for the page.
    """

    centre: Callable
    metric: str
    words: str


READINGS = {
    "q": Reading(
        lambda q, policy: jnp.zeros_like(q[..., :1]), "natural", "the Q tables, as the paper's update has them"
    ),
    "advantage": Reading(policy_mean, "natural", "the advantage tables"),
    "centred": Reading(
        lambda q, policy: jnp.mean(q, axis=-1, keepdims=True),
        "natural",
        "the natural gradients of least norm, which conjugate gradients find",
    ),
    "euclidean": Reading(policy_mean, "euclidean", "the raw gradients"),
    "fisher": Reading(policy_mean, "fisher", "the natural gradients in the Fisher product"),
}


def objectives(q: jax.Array, policy: jax.Array, visits: jax.Array, centre: Callable) -> Objectives:
    """Gradients and natural directions from Q tables.

        gradient(s, a) = d(s) pi(a | s) A(s, a),   direction = Q - centre(Q, pi),   A = Q - sum_a pi Q

    Args:
      q: [2, S, A] Q of the reward and of the cost.
      policy: [S, A].
      visits: [S] d.
      centre: (Q, policy) -> [2, S, 1], what each state's row is counted from.
    """
    signed = q * jnp.array([1.0, -1.0])[:, None, None]
    advantage = signed - policy_mean(signed, policy)
    gradient = (visits[:, None] * policy)[None] * advantage
    return Objectives(gradient.reshape(2, -1), (signed - centre(signed, policy)).reshape(2, -1))
