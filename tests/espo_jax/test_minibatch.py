import chex
import jax
import jax.numpy as jnp
import pytest

from espo_jax import minibatch

pytestmark = pytest.mark.usefixtures("strict_ranks")

MASK = jnp.arange(10)[:, None] < jnp.full((1, 2), 7)  # 14 of 20 samples
DATA = jnp.arange(20.0).reshape(10, 2)


def visits(key, mask, *, num_passes, stop_at=jnp.inf):
    """How often each sample was visited, and passes made, until the total of all visits reaches stop_at."""

    def count(carry, rows, real):
        seen, batches = carry
        return seen.at[rows.astype(int)].add(real), batches + 1

    (seen, batches), passes = minibatch.passes(
        count, (jnp.zeros(20), jnp.int32(0)), key, DATA, mask, num_passes=num_passes, minibatch_size=4,
        stop_fn=lambda carry: jnp.sum(carry[0]) >= stop_at,
    )  # fmt: skip
    return seen, batches, passes


def test_every_pass_visits_each_sample_in_use_once(key):
    seen, batches, passes = jax.jit(lambda k: visits(k, MASK, num_passes=3))(key)
    chex.assert_trees_all_equal(seen, 3.0 * MASK.reshape(-1))
    assert (int(batches), int(passes)) == (12, 3)


def test_stops_after_the_pass_that_says_so(key):
    seen, _, passes = visits(key, MASK, num_passes=10, stop_at=20)
    assert int(passes) == 2
    assert float(seen.sum()) == 28


def test_lanes_stop_by_themselves(key):
    """Lanes with different numbers of samples and passes give what they give alone."""
    keys = jax.random.split(key, 3)
    masks = jnp.stack([jnp.arange(10)[:, None] < jnp.full((1, 2), n) for n in (7, 2, 10)])
    stops = jnp.array([20.0, 4.0, jnp.inf])
    together = jax.vmap(lambda k, m, s: visits(k, m, num_passes=5, stop_at=s))(keys, masks, stops)
    for lane in range(3):
        alone = visits(keys[lane], masks[lane], num_passes=5, stop_at=stops[lane])
        chex.assert_trees_all_equal(jax.tree.map(lambda x, lane=lane: x[lane], together)[0], alone[0])
        assert int(together[2][lane]) == int(alone[2])
