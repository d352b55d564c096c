"""The rules that set the number of samples, against the equations of their papers."""

import jax.numpy as jnp
import numpy as np
import pytest

from espo_jax import sample_size
from tests import references


@pytest.mark.parametrize("in_conflict", [True, False])
@pytest.mark.parametrize(("up", "down"), [(0.1, -0.3), (0.0, -0.5), (0.0, 0.0)])
def test_sample_size_is_relative_to_the_base(in_conflict, up, down):
    ours = sample_size.gradient_conflict(16_000, jnp.array(in_conflict), up, down)
    assert float(ours) == pytest.approx(references.sample_size(16_000, in_conflict, up, down))
    assert float(sample_size.fixed(16_000)) == 16_000


@pytest.mark.parametrize(
    ("size", "expected"), [(11_203, 11_203), (11_203.4, 11_203), (0.2, 1), (1e9, 19_200), (np.inf, 19_200)]
)
def test_sample_sizes_are_exact_to_one_sample(size, expected):
    assert int(sample_size.whole_samples(jnp.float32(size), 19_200)) == expected


@pytest.mark.parametrize("largest", [2**31 - 1, 2**24 + 1])
def test_sample_sizes_never_exceed_the_capacity_by_rounding(largest):
    assert largest - 128 <= int(sample_size.whole_samples(jnp.float32(np.inf), largest)) <= largest


@pytest.mark.parametrize("in_band", [True, False])
@pytest.mark.parametrize("angle", [0.0, 0.3, 1.6, np.pi])
def test_sizes_by_angle_are_between_the_bounds(in_band, angle):
    expected = references.conflict_angle_size(16_000, angle, in_band, 0.1, -0.3)
    found = sample_size.conflict_angle(16_000, jnp.array(in_band), jnp.array(angle), 0.1, -0.3)
    assert float(found) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("rule", ["norm_test", "inner_product_test"])
@pytest.mark.parametrize("seed", range(3))
def test_variance_tests_weigh_blocks_by_their_samples(rule, seed):
    """Blocks of unequal numbers of samples, some unused, against a loop in NumPy."""
    rng = np.random.default_rng(seed)
    count = np.array([7, 1, 0, 12, 30, 5, 0])
    blocks = rng.normal(size=(7, 4)) / np.sqrt(np.maximum(count, 1))[:, None] + 0.3
    expected = getattr(references, f"{rule}_size_from_blocks")(blocks[count > 0], count[count > 0], 0.7)
    blocks[count == 0] = np.nan
    found = getattr(sample_size, rule)(1.0, jnp.asarray(blocks), jnp.asarray(count), 0.7, 1e9, -1.0)
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_variance_from_blocks_is_that_of_samples():
    """On average over draws, whatever the blocks."""
    rng = np.random.default_rng(0)
    count, std, mean = np.array([3, 10, 40, 7]), np.array([0.5, 2.0]), np.array([1.0, -2.0])
    squares = []
    for _ in range(4000):
        blocks = mean + std * rng.normal(size=(4, 2)) / np.sqrt(count)[:, None]
        centre = count @ blocks / count.sum()
        # With theta = 1 / |g| the size is the variance itself.
        size = references.norm_test_size_from_blocks(blocks, count, 1 / np.linalg.norm(centre))
        squares.append(size)
    assert np.mean(squares) == pytest.approx(np.sum(std**2), rel=0.03)
    found = sample_size.norm_test(1.0, jnp.asarray(blocks), jnp.asarray(count), 1 / np.linalg.norm(centre), 1e9, -1.0)
    assert float(found) == pytest.approx(squares[-1], rel=1e-6)
