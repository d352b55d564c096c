"""Running mean and standard deviation of observations, masked: Brax's statistics with this project's clipping."""

import jax
import jax.numpy as jnp

from espo_jax.blocks import Blocks
from espo_jax.brax_types import RunningStatisticsState, running_statistics


def init(observation_size: int) -> RunningStatisticsState:
    """The statistics before any observation: mean 0 and standard deviation 1, both [O]."""
    return jax.tree.map(jnp.asarray, running_statistics.init_state(jnp.zeros((observation_size,))))


def update(state: RunningStatisticsState, observation: jax.Array, mask: jax.Array) -> RunningStatisticsState:
    """Update the statistics with the observations [T, N, O] where mask [T, N] holds (Welford's update)."""
    return running_statistics.update(state, observation, weights=mask.astype(observation.dtype))


def update_in_blocks(
    state: RunningStatisticsState, observation: jax.Array, mask: jax.Array, blocks: Blocks
) -> RunningStatisticsState:
    """The same block after block: the update makes copies of what it gets, here only of a block."""
    return blocks.fold(lambda state, block: update(state, *block), state, (observation, mask))


def normalize(state: RunningStatisticsState, observation: jax.Array, clip: float) -> jax.Array:
    """The whitened observations [..., O]: (observation - mean) / std, bounded to +-clip."""
    return jnp.clip((observation - state.mean) / state.std, -clip, clip)
