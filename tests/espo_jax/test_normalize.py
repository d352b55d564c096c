import chex
import jax.numpy as jnp
import numpy as np

from espo_jax import normalize
from espo_jax.blocks import Blocks
from tests import references


def batches():
    rng = np.random.default_rng(0)
    return [rng.normal(loc=3.0, scale=[1.0, 10.0, 0.1], size=(20, 4, 3)) for _ in range(3)]


def test_running_statistics_are_those_of_everything_seen():
    state = normalize.init(3)
    used = [20, 7, 13]
    for batch, count in zip(batches(), used, strict=True):
        mask = jnp.arange(20)[:, None] < jnp.full((1, 4), count)
        garbage = jnp.where(mask[..., None], batch, 1e4)
        state = normalize.update(state, garbage.astype(jnp.float32), mask)
    seen = [b[:n].reshape(-1, 3) for b, n in zip(batches(), used, strict=True)]
    mean, std = references.running_statistics(seen)
    chex.assert_trees_all_close(state.mean, mean.astype(np.float32), rtol=1e-4)
    chex.assert_trees_all_close(state.std, std.astype(np.float32), rtol=1e-3)


def test_masked_equals_sliced_in_double_precision(x64):
    batch = jnp.asarray(batches()[0])
    mask = jnp.broadcast_to(jnp.arange(20)[:, None] < 9, (20, 4))
    masked = normalize.update(normalize.init(3), batch, mask)
    sliced = normalize.update(normalize.init(3), batch[:9], mask[:9])
    blocks = Blocks.covering(jnp.int32(9), 4)
    in_blocks = normalize.update_in_blocks(normalize.init(3), batch, mask, blocks)
    chex.assert_trees_all_close(in_blocks, sliced, rtol=1e-10)
    chex.assert_trees_all_close(masked, sliced, rtol=1e-10)


def test_normalize_whitens_and_clips():
    state = normalize.update(normalize.init(3), jnp.asarray(batches()[0], jnp.float32), jnp.ones((20, 4), bool))
    whitened = normalize.normalize(state, jnp.asarray(batches()[0], jnp.float32), 1.5)
    assert float(jnp.abs(whitened).max()) <= 1.5
    chex.assert_trees_all_close(normalize.normalize(state, state.mean + 100 * state.std, 5.0), jnp.full(3, 5.0))


def test_nothing_seen_leaves_observations_alone():
    chex.assert_trees_all_close(
        normalize.normalize(normalize.init(2), jnp.array([0.5, -2.0]), 5.0), jnp.array([0.5, -2.0])
    )
