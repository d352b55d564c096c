"""Natural steps of fixed samples: what enters them, how they are compared, and when a line search refuses them."""

import dataclasses

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from espo_jax import conflict, modes, policy
from espo_jax.algorithms import natural_steps
from espo_jax.algorithms.natural_steps import every_nth_step
from espo_jax.algorithms.types import Batch
from espo_jax.blocks import Blocks
from tests import references
from tests.problems import RADIUS, UPDATE_CONFIG, assert_close, dense, pose, update

T, N, USED = 20, 3, 13


@pytest.mark.parametrize("stride", [1, 3, 7])
def test_every_nth_step_spreads_over_the_whole_rollout(stride):
    time = jnp.broadcast_to(jnp.arange(T, dtype=jnp.float32)[:, None, None], (T, N, 1))
    mask = jnp.broadcast_to(jnp.arange(T)[:, None] < USED, (T, N))
    zero = jnp.zeros((T, N, 1))
    blocks = Blocks.covering(jnp.int32(USED), 4)
    batch = Batch(time, zero, zero[..., 0], policy.Gaussian(zero, zero), zero, jnp.ones(1), mask, blocks)
    observation, thinned, thin_blocks = every_nth_step(batch, stride)
    expected = np.arange(0, USED, stride)
    np.testing.assert_array_equal(observation[np.asarray(thinned[:, 0])][:, 0, 0], expected)
    assert thin_blocks.size <= 4
    assert int(thin_blocks.count) == -(-len(expected) // thin_blocks.size)
    assert observation.shape[0] % thin_blocks.size == 0
    assert observation.shape[0] < -(-T // stride) + observation.shape[0] // thin_blocks.size, "little padding"


def test_cg_residual_vanishes_with_enough_iterations(x64):
    few = dataclasses.replace(UPDATE_CONFIG, cg_iterations=3)
    assert 1e-3 < float(update("espo", pose(40.0, config=few)).cg_residual) < 1
    assert float(update("espo", pose(40.0)).cg_residual) < 1e-3


def test_natural_directions_and_own_steps_are_those_of_the_dense_matrix(x64):
    problem = pose(40.0)
    gradients, fisher = dense(problem)
    natural = natural_steps.natural_directions(problem)
    assert_close(natural.gradient, gradients, rtol=1e-10)
    assert_close(natural.direction, np.linalg.solve(fisher, gradients.T).T)
    comparison = natural_steps.compare(problem, natural)
    for own, g in zip(comparison.own.step, gradients, strict=True):
        assert_close(own, references.trpo_step(g, fisher, RADIUS))
    assert not comparison.failed.any()
    chex.assert_trees_all_close(comparison.gram, conflict.gram(comparison.own.step))
    share = natural_steps.in_natural_directions(comparison.own.step, natural)
    chex.assert_trees_all_close(share[:, None] * natural.direction, comparison.own.step, rtol=1e-6)


def opposed(advantage):
    """Costs that fall where the reward does, but for a little."""
    reward = advantage[..., :1]
    return jnp.concatenate([reward, 0.3 * advantage[..., 1:] - reward], axis=-1)


@pytest.mark.parametrize("metric", ["natural", "euclidean", "fisher"])
@pytest.mark.parametrize("resolution", ["projection", "min_norm", "cagrad"])
def test_weights_are_those_of_the_direction_followed(x64, metric, resolution):
    """Under conflict: the step is along the natural gradient of the weighted sum, whatever the metric."""
    config = dataclasses.replace(UPDATE_CONFIG, conflict_metric=metric, conflict_resolution=resolution)
    problem = pose(40.0, config=config, advantage=opposed)
    result = update("espo", problem)
    assert bool(conflict.in_conflict(result.gram, result.active))
    gradients, fisher = dense(problem)
    direction = np.linalg.solve(fisher, np.asarray(result.weight) @ gradients)
    cosine = direction @ result.step / np.linalg.norm(direction) / np.linalg.norm(result.step)
    assert cosine == pytest.approx(1.0, abs=1e-5)
    if metric == "natural" and resolution == "projection":
        own = [references.trpo_step(g, fisher, RADIUS) for g in gradients]
        assert_close(result.step, references.espo_direction("balance", *own, 0.5)[0], rtol=1e-3)


def with_a_failed_line_search(metric="natural"):
    """A balance in which only the reward's own step is refused, while the natural directions conflict."""
    config = dataclasses.replace(UPDATE_CONFIG, line_search_steps=1, conflict_metric=metric)

    def advantage(advantage):
        reward, cost = advantage[..., 0], advantage[..., 1]
        return jnp.stack([reward, cost - 0.5 * reward], axis=-1)

    return pose(40.0, config=config, target_kl=0.1, advantage=advantage)


def test_a_failed_line_search_in_the_balance_does_not_hide_the_conflict(x64):
    """The step of zero has an inner product of zero with every other: g_r^T F^-1 g_c says whether they conflict."""
    problem = with_a_failed_line_search()
    result = update("espo", problem)
    assert int(result.failed_line_searches) == 1
    assert bool(conflict.in_conflict(result.gram, result.active))
    natural = natural_steps.natural_directions(problem)
    expected = conflict.gram(natural.gradient, natural.direction)
    chex.assert_trees_all_close(result.gram, expected, rtol=1e-4)
    # The step is that of the metric "fisher": projected, and line-searched as a whole.
    other = update("espo", with_a_failed_line_search("fisher"))
    chex.assert_trees_all_close(result.step, other.step, rtol=1e-6)
    chex.assert_trees_all_close(result.weight, other.weight, rtol=1e-6)
    assert int(other.failed_line_searches) == 1


@pytest.mark.parametrize("name", ["crpo", "trpo", "pcpo"])
def test_a_failed_line_search_hides_no_conflict_from_a_sample_size_rule(x64, name):
    """Also where the algorithm follows one objective: the rule looks at all that are in the band."""
    problem = with_a_failed_line_search()
    result = update(name, problem)
    assert int(result.failed_line_searches) == 1
    assert bool(conflict.in_conflict(result.gram, problem.choice.active))


def test_a_failed_line_search_outside_of_the_balance_leaves_the_parameters(x64):
    problem = with_a_failed_line_search()
    reward = modes.choose_mode(
        problem.episode.cost, problem.hyperparams.cost_limit, problem.slack_positive, problem.slack_negative, 0.5, True
    )
    result = update("espo", problem._replace(choice=reward, warmup=jnp.array(True)))
    assert float(result.step_fraction) == 0
    assert not result.step.any()
