"""Sample-size rules: the number of samples of the next iteration.

The functions are the equations, on plain arrays. Each returns a number of samples, [] float32, before it is rounded to
a whole number. All but `fixed` stay between X(1 + zeta-) and X(1 + zeta+), with zeta- in (-1, 0] and zeta+ >= 0. The
change is always relative to X: it does not compound. RULES has the rules by the names that settings use. A rule of your
own is a function from `Evidence` to a size; pass it to `make` or `train` of an algorithm as `sample_size_rule`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from espo_jax.linalg import dot


def fixed(base: jax.Array | int) -> jax.Array:
    """Always the base size X."""
    return jnp.asarray(base, jnp.float32)


def gradient_conflict(
    base: jax.Array | int,
    conflict: jax.Array,
    zeta_positive: jax.Array | float,
    zeta_negative: jax.Array | float,
) -> jax.Array:
    """X(1 + zeta+) after a conflict in the band, X(1 + zeta-) in every other case.

    Args:
      base: X, number of samples.
      conflict: [] bool, the cost was in the band, and reward and cost gradients conflicted.
      zeta_positive: zeta+.
      zeta_negative: zeta-.

    >>> float(gradient_conflict(16_000, jnp.array(True), 0.1, -0.3))
    17600.0
    >>> float(gradient_conflict(16_000, jnp.array(False), 0.1, -0.3))
    11200.0

    Reference: ESPO, arXiv:2405.20860, section 4.2.
    """
    return jnp.asarray(base, jnp.float32) * (1 + jnp.where(conflict, zeta_positive, zeta_negative))


def conflict_angle(
    base: jax.Array | int,
    balance: jax.Array,
    angle: jax.Array,
    zeta_positive: jax.Array | float,
    zeta_negative: jax.Array | float,
) -> jax.Array:
    """`gradient_conflict` made continuous: in the band X(1 + zeta- + (zeta+ - zeta-) angle / pi), else X(1 + zeta-).

    Args:
      base: X, number of samples.
      balance: [] bool, the cost was in the band.
      angle: [] radians between reward and cost gradients.
      zeta_positive: zeta+, reached at opposite gradients.
      zeta_negative: zeta-, reached at parallel ones.
    """
    share = jnp.where(balance, angle / jnp.pi, 0.0)
    return jnp.asarray(base, jnp.float32) * (1 + zeta_negative + (zeta_positive - zeta_negative) * share)


def norm_test(
    base: jax.Array | int,
    gradient: jax.Array,
    count: jax.Array,
    tolerance: jax.Array | float,
    zeta_positive: jax.Array | float,
    zeta_negative: jax.Array | float,
) -> jax.Array:
    """The number of samples with which the error of the gradient is small relative to its length.

        |S| = sum_j Var(g_j) / (theta^2 |g|^2)

    Args:
      base: X, number of samples.
      gradient: [B, P] mean gradients of the direction that is followed, by block of samples; ignored where count is 0.
      count: [B] number of samples of each block.
      tolerance: theta.
      zeta_positive, zeta_negative: bounds.

    Reference: Byrd et al. 2012, Mathematical Programming 134, eq. 3.3 and section 4.
    """
    mean, deviation = _deviation(gradient, count)
    variance = _variance(dot(deviation, deviation), count)
    return _bounded(base, variance, tolerance**2 * dot(mean, mean), zeta_positive, zeta_negative)


def inner_product_test(
    base: jax.Array | int,
    gradient: jax.Array,
    count: jax.Array,
    tolerance: jax.Array | float,
    zeta_positive: jax.Array | float,
    zeta_negative: jax.Array | float,
) -> jax.Array:
    """The number of samples with which a sampled gradient ascends: `norm_test` along the gradient only.

        |S| = Var(g_i . g) / (theta^2 |g|^4)

    Args: as for `norm_test`.

    Reference: Bollapragada et al. 2018, arXiv:1710.11258, eq. 2.6.
    """
    mean, deviation = _deviation(gradient, count)
    variance = _variance(jnp.square(dot(deviation, mean)), count)
    return _bounded(base, variance, tolerance**2 * jnp.square(dot(mean, mean)), zeta_positive, zeta_negative)


def whole_samples(sample_size: jax.Array, largest: int) -> jax.Array:
    """A sample size rounded to a whole number between 1 and the largest possible one: [] int32; nan becomes 0."""
    # Bounded as a float, so that infinity can be converted, and as an integer, since a float may round above largest.
    bounded = jnp.minimum(jnp.clip(jnp.round(sample_size), 1, largest).astype(jnp.int32), largest)
    return jnp.where(jnp.isnan(sample_size), 0, bounded)


def _deviation(gradient: jax.Array, count: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean gradient [P] over all samples, and each block's deviation from it [B, P]."""
    weight = (count / jnp.maximum(jnp.sum(count), 1))[:, None]
    used = jnp.where(count[:, None] > 0, gradient, 0.0)
    mean = jnp.sum(weight * used, axis=0)
    return mean, jnp.where(count[:, None] > 0, used - mean, 0.0)


def _variance(square: jax.Array, count: jax.Array) -> jax.Array:
    """Variance of one sample, from the squared deviations [B] of block means, whose variance is 1/count of it."""
    return jnp.sum(count * square) / jnp.maximum(jnp.sum(count > 0) - 1, 1)


def _bounded(base, variance, square, zeta_positive, zeta_negative) -> jax.Array:
    """variance / square between X(1 + zeta-) and X(1 + zeta+): the largest where there is no gradient at all."""
    low, high = base * (1 + jnp.asarray(zeta_negative)), base * (1 + jnp.asarray(zeta_positive))
    tiny = jnp.finfo(jnp.float32).tiny
    return jnp.clip(jnp.where(square > tiny, variance / jnp.maximum(square, tiny), jnp.inf), low, high)


class Evidence(NamedTuple):
    """Inputs of a sample-size rule.

    Args:
      base: X, number of samples.
      zeta_positive, zeta_negative: [] zeta+ and zeta- as annealed.
      balance: [] bool, the cost was in the band.
      conflict: [] bool, the cost was in the band, and two of the objectives there conflicted.
      angle: [] radians, the largest angle between two of the objectives in the band.
      tolerance: [] theta of the variance tests.
      block_gradients: () -> gradients [B, P] of the direction followed in blocks of samples, and samples of each [B];
        computed only for rules that call it.
      key: PRNG key of this iteration, for rules that draw.
    """

    base: int
    zeta_positive: jax.Array
    zeta_negative: jax.Array
    balance: jax.Array
    conflict: jax.Array
    angle: jax.Array
    tolerance: jax.Array
    block_gradients: Callable[[], tuple[jax.Array, jax.Array]]
    key: jax.Array


class SampleSizeRule(NamedTuple):
    """A sample-size rule, and what it needs.

    Args:
      size: Evidence -> [] float32 number of samples of the next iteration.
      needs_band: whether it uses conflicts in the band; a band of no width is then refused.
      min_blocks: smallest number of blocks of samples that it needs.
    """

    size: Callable[[Evidence], jax.Array]
    needs_band: bool = False
    min_blocks: int = 1


RULES: dict[str, SampleSizeRule] = {
    "fixed": SampleSizeRule(lambda e: fixed(e.base)),
    "gradient_conflict": SampleSizeRule(
        lambda e: gradient_conflict(e.base, e.conflict, e.zeta_positive, e.zeta_negative), needs_band=True
    ),
    "conflict_angle": SampleSizeRule(
        lambda e: conflict_angle(e.base, e.balance, e.angle, e.zeta_positive, e.zeta_negative), needs_band=True
    ),
    "norm_test": SampleSizeRule(
        lambda e: norm_test(e.base, *e.block_gradients(), e.tolerance, e.zeta_positive, e.zeta_negative), min_blocks=4
    ),
    "inner_product_test": SampleSizeRule(
        lambda e: inner_product_test(e.base, *e.block_gradients(), e.tolerance, e.zeta_positive, e.zeta_negative),
        min_blocks=4,
    ),
}
