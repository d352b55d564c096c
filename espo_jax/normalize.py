"""Running mean and standard deviation of observations, masked: Brax's statistics with this project's clipping."""

import jax
import jax.numpy as jnp

from espo_jax.brax_types import RunningStatisticsState, running_statistics


def init(observation_size: int) -> RunningStatisticsState:
    """The statistics before any observation: mean 0 and standard deviation 1, both [O]."""
    return jax.tree.map(jnp.asarray, running_statistics.init_state(jnp.zeros((observation_size,))))


def update(state: RunningStatisticsState, observation: jax.Array, mask: jax.Array) -> RunningStatisticsState:
    """Update the statistics with the observations [T, N, O] where mask [T, N] holds (Welford's update)."""
    return running_statistics.update(state, observation, weights=mask.astype(observation.dtype))


def normalize(state: RunningStatisticsState, observation: jax.Array, clip: float) -> jax.Array:
    """The whitened observations [..., O]: (observation - mean) / std, bounded to +-clip."""
    return jnp.clip((observation - state.mean) / state.std, -clip, clip)
