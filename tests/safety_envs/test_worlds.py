"""Functions of all worlds at once, seen as functions of one: which worlds they are given, and in what order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safety_envs.physics.worlds import one_world


def counting(seen):
    """x + 10 y, and how many worlds there are; notes the sizes with which it is called."""

    def function(count, mapped, leaves):
        seen.append(count)
        x, y = (leaf if is_mapped else jnp.broadcast_to(leaf, (count, *leaf.shape)) for is_mapped, leaf in
                zip(mapped, leaves, strict=True))  # fmt: skip
        return {"sum": x + 10 * y, "count": jnp.full(count, count)}

    return one_world(function)


X, Y = jnp.arange(6.0).reshape(2, 3), jnp.arange(3.0)


@pytest.mark.parametrize(
    ("axes", "args", "expected"),
    [
        (((0, 0), (0, None)), (X, Y), X + 10 * Y),  # y of the inner axis only
        (((0, None), (None, 0)), (Y, X[:, 0]), Y + 10 * X[:, :1]),  # y of the outer axis only
        (((0, 0), (0, 0)), (X, 2 * X), 21 * X),
    ],
)
def test_nested_vmaps_give_all_worlds_at_once(axes, args, expected):
    seen = []
    inner, outer = axes
    results = jax.jit(jax.vmap(jax.vmap(counting(seen), in_axes=inner), in_axes=outer))(*args)
    np.testing.assert_array_equal(results["sum"], expected)
    np.testing.assert_array_equal(results["count"], 6)
    assert seen[-1] == 6


def test_one_world_and_a_world_inside_a_loop():
    function = counting([])
    assert function(jnp.float32(1), jnp.float32(2)) == {"sum": 21, "count": 1}

    def loop(x):
        return jax.lax.scan(lambda x, _: (function(x, x)["sum"], function(x, x)["count"]), x, length=2)

    value, counts = jax.jit(jax.vmap(loop))(jnp.arange(3.0))
    np.testing.assert_array_equal(value, 121 * jnp.arange(3.0))
    np.testing.assert_array_equal(counts, 3)
