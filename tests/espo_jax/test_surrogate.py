import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from espo_jax import policy
from espo_jax.surrogate import block_gradients, clipped_surrogate, surrogate, surrogate_gradients
from tests import references
from tests.problems import make_problem

pytestmark = pytest.mark.usefixtures("strict_ranks")


def gradients(p):
    samples = (p.params, p.observation, p.action, p.log_prob, p.advantage, p.mask, p.blocks)
    return jax.jit(lambda *samples: surrogate_gradients(p.networks.policy, *samples))(*samples)


def test_value_equals_the_formula():
    p = make_problem(24)
    new = p.networks.policy(p.params + 0.1, p.observation)
    ours = surrogate(new, p.action, p.log_prob, p.advantage, p.mask)
    ratio = np.exp(references.gaussian_log_prob(*map(np.asarray, new), np.asarray(p.action)) - np.asarray(p.log_prob))
    expected = np.einsum("tn,tnm->m", ratio, np.asarray(p.advantage))
    chex.assert_trees_all_close(ours, expected.astype(np.float32), rtol=1e-4)


def test_gradients_are_the_score_times_the_advantage():
    """At the old policy the ratio is 1, so g_i = mean(grad log pi A_i)."""
    p = make_problem(24)
    score = jax.jacobian(lambda q: policy.log_prob(p.networks.policy(q, p.observation), p.action))(p.params)
    expected = jnp.einsum("tnp,tnm->mp", score, p.advantage) / (24 * 3)
    chex.assert_trees_all_close(gradients(p), expected, rtol=1e-4, atol=1e-6)


def test_gradients_equal_finite_differences(x64):
    p = make_problem(10)
    ours = gradients(p)
    direction = jax.random.normal(jax.random.key(3), p.params.shape)
    sliced = (p.action[:10], p.log_prob[:10], p.advantage[:10], p.mask[:10])

    def value(step):
        return surrogate(p.networks.policy(p.params + step * direction, p.observation[:10]), *sliced) / 30

    numeric = (value(1e-5) - value(-1e-5)) / 2e-5
    chex.assert_trees_all_close(ours @ direction, numeric, rtol=1e-6)


@pytest.mark.parametrize("used", [1, 9, 12, 24])
def test_masked_equals_sliced(used):
    masked = gradients(make_problem(used))
    sliced = gradients(make_problem(used, capacity=used, block_size=used))
    chex.assert_trees_all_close(masked, sliced, rtol=1e-5, atol=1e-6)


def test_masked_equals_sliced_in_double_precision(x64):
    masked = gradients(make_problem(9))
    sliced = gradients(make_problem(9, capacity=9, block_size=9))
    chex.assert_trees_all_close(masked, sliced, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("clip_ratio", [0.1, 0.2])
def test_clipped_surrogate_is_ppos_on_the_samples_in_use(clip_ratio):
    p = make_problem(10)
    new = p.networks.policy(p.params + 0.1, p.observation)
    ours = clipped_surrogate(new, p.action, p.log_prob, p.advantage[..., 0], p.mask, clip_ratio=clip_ratio)
    used = [np.asarray(x)[:10] for x in (*new, p.action, p.log_prob, p.advantage[..., 0])]
    assert float(ours) == pytest.approx(-30 * references.ppo_loss(*used, clip_ratio), rel=1e-4)


def test_block_gradients_are_those_of_the_objective_on_each_block():
    """Their mean, weighted by the samples, is the gradient of all; blocks that are not in use are zero."""
    p = make_problem(10)  # 12, 12 and 6 of 12 samples of the first 3 of 6 blocks
    arguments = (p.observation, p.action, p.log_prob)
    blocks, count = jax.jit(lambda: block_gradients(
        p.networks.policy, p.params, *arguments, p.advantage[..., 0], p.mask, p.blocks
    ))()  # fmt: skip
    np.testing.assert_array_equal(count, [12, 12, 6, 0, 0, 0])
    assert not blocks[3:].any()
    chex.assert_trees_all_close(count @ blocks / 30, gradients(p)[0], rtol=1e-4, atol=1e-6)
    first = gradients(make_problem(4))[0]
    chex.assert_trees_all_close(blocks[0], first, rtol=1e-4, atol=1e-6)
