import chex
import jax
import jax.numpy as jnp
import pytest
from safety_envs.lanes import lanes_max

from espo_jax.blocks import Blocks, select_running


@pytest.mark.parametrize(("num_steps", "expected"), [(0, 0), (1, 1), (4, 1), (5, 2), (12, 3)])
def test_covers_whole_blocks(num_steps, expected):
    assert int(Blocks.covering(jnp.int32(num_steps), 4).count) == expected


def test_sum_and_map_touch_only_the_blocks_in_use():
    data = jnp.arange(12.0).reshape(12, 1)
    blocks = Blocks.covering(jnp.int32(5), 4)
    assert float(blocks.sum(jnp.sum, data)) == sum(range(8))
    mapped = blocks.map(lambda x: x + 1, data)
    chex.assert_trees_all_equal(mapped[:, 0], jnp.array([*range(1, 9), 0, 0, 0, 0.0]))


@pytest.mark.parametrize("method", ["sum", "map", "sums"])
def test_a_time_axis_that_is_no_multiple_of_the_block_is_refused(method):
    """10 steps in blocks of 4 would sum to 12, as the slice past the end is moved back."""
    blocks = Blocks.covering(jnp.int32(10), 4)
    with pytest.raises(ValueError, match=r"has 10 time steps: it must be one multiple of the block size \(4\)"):
        getattr(blocks, method)(jnp.sum, jnp.ones((10, 1)))
    with pytest.raises(ValueError, match=r"has 8 and 12 time steps"):
        getattr(blocks, method)(lambda x: jnp.sum(x[0]), (jnp.ones((12, 1)), jnp.ones((8, 1))))


def test_work_is_proportional_to_the_blocks_in_use():
    calls = []
    data = jnp.ones((12, 1))

    def counted(x):
        jax.debug.callback(lambda: calls.append(1))
        return jnp.sum(x)

    @jax.jit
    def both(num_steps):
        blocks = Blocks.covering(num_steps, 2)
        return blocks.sum(counted, data), blocks.map(lambda x: counted(x) * x, data)

    for steps, expected in ((2, 1), (5, 3), (12, 6)):
        calls.clear()
        jax.block_until_ready(both(jnp.int32(steps)))
        jax.effects_barrier()
        assert len(calls) == 2 * expected


def test_map_is_differentiable_and_linearisable():
    data = jnp.arange(6.0).reshape(6, 1)
    blocks = Blocks.covering(jnp.int32(4), 2)
    gradient = jax.grad(lambda a: jnp.sum(blocks.map(lambda x: a * x, data)))(2.0)
    assert float(gradient) == 0 + 1 + 2 + 3
    _, push = jax.linearize(lambda a: blocks.map(lambda x: a**2 * x, data), 3.0)
    chex.assert_trees_all_close(push(1.0)[:, 0], jnp.array([0, 6, 12, 18, 0, 0.0]))


def test_lanes_max_is_not_batched_under_nested_vmap():
    x = jnp.array([[1, 5], [3, 2]])
    traced = jax.make_jaxpr(
        jax.vmap(jax.vmap(lambda v: jax.lax.while_loop(lambda i: i < lanes_max(v), lambda i: i + 1, 0)))
    )
    assert "select" not in str(traced(x))
    chex.assert_trees_all_equal(jax.vmap(jax.vmap(lanes_max))(x), jnp.full((2, 2), 5))


def test_select_running_selects_only_between_lanes():
    running = jnp.array([True, False])
    new, old = {"a": jnp.ones((2, 3)), "b": jnp.ones(2)}, {"a": jnp.zeros((2, 3)), "b": jnp.zeros(2)}
    selected = jax.vmap(select_running)(running, new, old)
    chex.assert_trees_all_equal(selected, {"a": jnp.array([[1.0] * 3, [0.0] * 3]), "b": jnp.array([1.0, 0.0])})
    chex.assert_trees_all_equal(select_running(jnp.array(True), new, old), new)
    # one argument not mapped
    partly = jax.vmap(select_running, in_axes=(0, None, 0))(running, jnp.float32(5), jnp.zeros(2))
    chex.assert_trees_all_equal(partly, jnp.array([5.0, 0.0]))
