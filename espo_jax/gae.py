"""Generalised advantage estimation, masked, for rewards and costs alike."""

import chex
import jax
import jax.numpy as jnp


def gae(
    reward: jax.Array,
    value: jax.Array,
    next_value: jax.Array,
    terminated: jax.Array,
    truncated: jax.Array,
    mask: jax.Array,
    *,
    discount: jax.Array | float,
    gae_lambda: jax.Array | float,
) -> jax.Array:
    """Generalised advantages of one environment's rollout; rewards and costs alike.

        delta_t = r_t + discount (1 - terminated_t) V(s'_t) - V(s_t)
        A_t     = delta_t + discount gae_lambda (1 - terminated_t)(1 - truncated_t) A_{t+1}

    Termination removes the bootstrap and cuts the trace; truncation (a time limit) only cuts the trace.

    Args:
      reward: [T] reward or cost received after acting at t.
      value: [T] V(s_t).
      next_value: [T] V(s'_t), s'_t reached before any reset.
      terminated: [T] bool (or 0/1), the task ended at s'_t.
      truncated: [T] bool, the time limit cut the episode at s'_t.
      mask: [T] bool, False for the unused tail, which gets advantage 0.
      discount: scalar in [0, 1].
      gae_lambda: scalar in [0, 1].

    Returns:
      [T] advantages, not standardised; adding `value` gives the critics' targets.

    A time limit bootstraps from the final observation, here worth 10; a termination does not:

    >>> one, end = jnp.ones(3), jnp.array([0, 0, 1])
    >>> options = dict(mask=one, discount=1.0, gae_lambda=1.0)
    >>> gae(one, 0 * one, 10.0 * end, terminated=0 * end, truncated=end, **options)
    Array([13., 12., 11.], dtype=float32)
    >>> gae(one, 0 * one, 10.0 * end, terminated=end, truncated=0 * end, **options)
    Array([3., 2., 1.], dtype=float32)

    Reference: Schulman et al. 2016, arXiv:1506.02438, section 3.
    """
    chex.assert_equal_shape([reward, value, next_value, terminated, truncated, mask])
    terminated, truncated, mask = (jnp.asarray(x, bool) for x in (terminated, truncated, mask))
    bootstrap = jnp.where(terminated, 0.0, next_value)
    delta = jnp.where(mask, reward + discount * bootstrap - value, 0.0)
    trace = jnp.where(mask & ~terminated & ~truncated, discount * gae_lambda, 0.0)

    # A_t = delta_t + trace_t A_{t+1} composes associatively: logarithmic depth instead of T dependent steps.
    def compose(later: tuple[jax.Array, jax.Array], earlier: tuple[jax.Array, jax.Array]):
        return earlier[0] + earlier[1] * later[0], earlier[1] * later[1]

    advantage, _ = jax.lax.associative_scan(compose, (delta, trace), reverse=True)
    return advantage


def next_values(value: jax.Array, final_value: jax.Array, truncated: jax.Array, mask: jax.Array) -> jax.Array:
    """V(s'_t) of every sample: the value at the next time step, but for truncations and the last samples.

    Args:
      value: [T, N] V(s_t).
      final_value: [E + 1, N] values of `Rollout.final_observation`.
      truncated: [T, N] bool.
      mask: [T, N] bool, the samples in use.

    Returns:
      [T, N] values. After a termination it is the value of a new episode's state, which `gae` does not read.
    """
    continues = jnp.concatenate([mask[1:], jnp.zeros_like(mask[:1])])
    following = jnp.where(continues, jnp.roll(value, -1, axis=0), final_value[-1])
    row = jnp.cumsum(truncated, axis=0) - 1
    return jnp.where(truncated, jnp.take_along_axis(final_value, row, axis=0, mode="clip"), following)


def truncation(terminated: jax.Array, truncated: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The time limit only cuts the episode: its last step bootstraps from the state that it led to."""
    return terminated, truncated


def termination(terminated: jax.Array, truncated: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The time limit ends the task: nothing comes after it, and nothing is bootstrapped."""
    return terminated | truncated, jnp.zeros_like(truncated)


# What the time limit of an episode is to the advantages: a function from (terminated, truncated) of the task to those
# that `gae` gets. docs/paper.md, section 5, says why "termination" is the protocol of the paper's code family.
TIME_LIMITS = {"truncation": truncation, "termination": termination}


def center(x: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Shift x to mean 0 over the samples where mask holds and keep its unit; 0 elsewhere.

    Args:
      x: [T, N] values.
      mask: [T, N] bool.

    Returns:
      [T, N] centred values, and the scale [] they were divided by, which is 1.
    """
    mean = jnp.sum(jnp.where(mask, x, 0.0)) / jnp.maximum(jnp.sum(mask), 1)
    return jnp.where(mask, x - mean, 0.0), jnp.ones((), x.dtype)


def standardize(x: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Shift and scale x to mean 0 and standard deviation 1 over the samples where mask holds; 0 elsewhere.

    Constant data (no variance beyond float rounding) becomes 0, not noise.

    Args:
      x: [T, N] values.
      mask: [T, N] bool.

    Returns:
      [T, N] standardised values, and the standard deviation [] they were divided by.
    """
    count = jnp.maximum(jnp.sum(mask), 1)
    mean = jnp.sum(jnp.where(mask, x, 0.0)) / count
    centred = jnp.where(mask, x - mean, 0.0)
    std = jnp.sqrt(jnp.sum(jnp.square(centred)) / count)
    rounding = 8 * jnp.finfo(x.dtype).eps * jnp.abs(mean)
    return jnp.where(std > rounding, centred / jnp.maximum(std, jnp.finfo(x.dtype).tiny), 0.0), std


# How advantages are scaled: a function from (x [T, N], mask [T, N]) to the scaled x and the scale.
ADVANTAGE_SCALINGS = {"standardize": standardize, "center": center}
