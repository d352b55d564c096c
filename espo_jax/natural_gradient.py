"""Natural-gradient steps: Fisher products, conjugate gradient, KL-scaled step, backtracking line search."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from espo_jax import policy
from espo_jax.blocks import Blocks
from espo_jax.linalg import dot

MatVec = Callable[[jax.Array], jax.Array]


def fisher_product(
    apply_fn: Callable[[jax.Array, jax.Array], policy.Gaussian],
    params: jax.Array,
    observation: jax.Array,
    mask: jax.Array,
    blocks: Blocks,
    *,
    damping: jax.Array | float = 0.0,
) -> MatVec:
    """Linearise the policy once and return v -> (F + damping I) v.

        F = 1/n sum_s J_s^T M_s J_s,   J_s = d(mean, log_std)(s) / d params

    with M_s the Fisher matrix of the Gaussian's own parameters (Gauss-Newton form of the Hessian of the mean KL).

    Args:
      apply_fn: (flat params [P], observation) to the policy's Gaussian.
      params: [P] flat parameters.
      observation: [T, N, O]; pass every k-th time step to use a fraction of the samples.
      mask: [T, N] bool.
      blocks: the part of [T] in use.
      damping: number that is added to the diagonal.

    Returns:
      A function of [P], or of [R, P] for R vectors at once.

    Reference: Schulman et al. 2015, arXiv:1502.05477, appendix C.1; Martens 2020, arXiv:1412.1193, section 9.2.
    """
    distribution, push = jax.linearize(lambda p: blocks.map(lambda o: apply_fn(p, o), observation), params)
    pull = jax.linear_transpose(push, params)
    weight = jnp.where(mask, 1.0, 0.0)[..., None] / jnp.maximum(jnp.sum(mask), 1)

    def product(v: jax.Array) -> jax.Array:
        tangent = policy.fisher_metric(distribution, push(v))
        return pull(jax.tree.map(lambda t: weight * t, tangent))[0] + damping * v

    return lambda v: product(v) if v.ndim == 1 else jax.vmap(product)(v)


def conjugate_gradient(matvec: MatVec, b: jax.Array, *, num_iterations: int, tolerance: float = 1e-10) -> jax.Array:
    """Solve matvec(x) = b for one right-hand side [P], or for several [R, P] at once.

    Each right-hand side stops changing once its squared residual falls below tolerance times its squared norm,
    or where matvec shows no positive curvature (a singular or indefinite matrix); zero gives zero.

    Args:
      matvec: a symmetric positive semi-definite linear map of arrays like b.
      b: [P] or [R, P].
      num_iterations: upper bound on the iterations.
      tolerance: relative bound on the squared residual.

    Returns:
      x like b.

    Reference: Nocedal & Wright 2006, algorithm 5.2.
    """
    b_norm = dot(b, b)
    epsilon = jnp.finfo(b.dtype).eps

    def body(_: int, carry: tuple) -> tuple:
        x, residual, direction, norm, largest = carry
        image = matvec(direction)
        curvature = dot(direction, image)
        # Curvature per length^2 at rounding level is the null space of a singular matrix, where steps blow up.
        rayleigh = curvature / jnp.maximum(dot(direction, direction), jnp.finfo(b.dtype).tiny)
        largest = jnp.maximum(largest, rayleigh)
        active = (norm > tolerance * b_norm) & (rayleigh > epsilon * largest)
        alpha = jnp.where(active, norm / jnp.where(active, curvature, 1.0), 0.0)[..., None]
        x, residual = x + alpha * direction, residual - alpha * image
        next_norm = jnp.where(active, dot(residual, residual), norm)
        beta = (next_norm / jnp.where(norm > 0, norm, 1.0))[..., None]
        direction = jnp.where(active[..., None], residual + beta * direction, direction)
        return x, residual, direction, next_norm, largest

    start = (jnp.zeros_like(b), b, b, b_norm, jnp.zeros_like(b_norm))
    return jax.lax.fori_loop(0, num_iterations, body, start)[0]


def kl_scaled_step(direction: jax.Array, curvature: jax.Array, target_kl: jax.Array | float) -> jax.Array:
    """Scale directions so that the quadratic model of the KL reaches its radius: sqrt(2 target_kl / d^T F d) d.

    Args:
      direction: [..., P] natural directions F^-1 g.
      curvature: [...] d^T F d; where it is not positive the step is 0.
      target_kl: radius in nats.

    Returns:
      [..., P] steps.

    Reference: Schulman et al. 2015, arXiv:1502.05477, appendix C.
    """
    positive = curvature > 0
    scale = jnp.sqrt(2 * target_kl / jnp.where(positive, curvature, 1.0))
    return jnp.where(positive[..., None], scale[..., None] * direction, 0.0)


class LineSearch(NamedTuple):
    """Result for C candidate steps.

    Args:
      fraction: [C] share of the full step that was accepted, 0 where none was.
      improvement: [C] actual improvement at the accepted share.
      kl: [C] KL divergence from the old policy there, in nats.
    """

    fraction: jax.Array
    improvement: jax.Array
    kl: jax.Array


def line_search(
    evaluate: Callable[[jax.Array], tuple[jax.Array, jax.Array]],
    step: jax.Array,
    expected: jax.Array,
    *,
    max_kl: jax.Array | float,
    accept_ratio: jax.Array | float,
    num_steps: int,
) -> LineSearch:
    """Halve each of C steps until it improves by accept_ratio of what is expected, with a KL of at most max_kl.

    If no share is acceptable, or if values are nan, the fraction is 0 and the parameters stay as they are.

    Args:
      evaluate: [C, P] parameter changes -> ([C] improvement over no change, [C] KL in nats).
      step: [C, P] full steps.
      expected: [C] first-order improvement g^T step of the full steps.
      max_kl: largest accepted KL, in nats.
      accept_ratio: smallest accepted ratio of actual to expected improvement.
      num_steps: number of shares that are tried: 1, 1/2, ..., 2^(1 - num_steps).

    Returns:
      LineSearch.

    Reference: Schulman et al. 2015, arXiv:1502.05477, appendix C.
    """

    def cond(carry: tuple) -> jax.Array:
        index, _, accepted, _ = carry
        return (index < num_steps) & ~jnp.all(accepted)

    def body(carry: tuple) -> tuple:
        index, share, accepted, result = carry
        improvement, kl = evaluate(share[:, None] * step)
        promise = share * expected
        good = (improvement > 0) & (improvement >= accept_ratio * promise) & (kl <= max_kl) & (promise > 0)
        new = good & ~accepted
        found = LineSearch(share, improvement, kl)
        result = jax.tree.map(lambda f, r: jnp.where(new, f, r), found, result)
        accepted = accepted | good
        return index + 1, jnp.where(accepted, share, share / 2), accepted, result

    zeros = jnp.zeros_like(expected)
    # A step with no expected improvement (zero gradient, nan) is settled at once: its fraction is 0.
    hopeless = ~(expected > 0)
    start = (jnp.int32(0), jnp.ones_like(expected), hopeless, LineSearch(zeros, zeros, zeros))
    with jax.named_scope("halvings"):
        return jax.lax.while_loop(cond, body, start)[-1]
