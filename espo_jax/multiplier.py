"""Lagrange multipliers of the constraints."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from espo_jax.settings import choose


@flax.struct.dataclass
class Multiplier:
    """Lagrange multipliers and the state of their optimiser.

    Args:
      value: [K] nu >= 0, the multipliers.
      optimizer_state: state of the optax optimiser.
    """

    value: jax.Array
    optimizer_state: Any


# How multipliers step. "sgd" is the plain step nu + lr (V_c - b); the steps of "adam" do not depend on the unit of V_c.
OPTIMIZERS = {"sgd": optax.sgd, "adam": optax.adam}


def optimizer(name: str, learning_rate: jax.Array | float) -> optax.GradientTransformation:
    """The optimiser with a name of OPTIMIZERS.

    Raises:
      ValueError: the name is not known.
    """
    return choose("multiplier_optimizer", name, OPTIMIZERS)(learning_rate)


def init(optimizer: optax.GradientTransformation, value: jax.Array | float, num_constraints: int) -> Multiplier:
    """Multipliers that all start at one value."""
    start = jnp.full(num_constraints, value, jnp.float32)
    return Multiplier(start, optimizer.init(start))


def update(
    optimizer: optax.GradientTransformation,
    multiplier: Multiplier,
    violation: jax.Array,
    largest: jax.Array | float = jnp.inf,
) -> Multiplier:
    """One step of ascent, nu <- max(0, nu + lr (V_c - b)).

    Args:
      optimizer: from `optimizer`.
      multiplier: the multipliers before the step.
      violation: [K] V_c - b, in undiscounted cost of an episode.
      largest: upper bound on nu.

    >>> rule = optimizer("sgd", 0.1)
    >>> nu = update(rule, init(rule, 0.0, num_constraints=2), violation=jnp.array([20.0, -5.0]))
    >>> print(nu.value)
    [2. 0.]

    Reference: Ray et al. 2019, "Benchmarking safe exploration in deep reinforcement learning", section 5.
    """
    change, state = optimizer.update(-violation, multiplier.optimizer_state, multiplier.value)
    return Multiplier(jnp.clip(multiplier.value + change, 0.0, largest), state)
