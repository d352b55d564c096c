import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safety_envs

from espo_jax.rollout import EpisodeEstimate, collect, estimate_episodes
from tests.algorithms.probe_envs import TugOfWar
from tests.safety_envs.probe_envs import CountingEnv

CAPACITY = 24


def acting(observation, key):
    noise = jax.random.normal(key, (*observation.shape[:-1], 2))
    return noise, jnp.sum(noise, axis=-1)


def counting_action(observation, key):
    return jnp.zeros((*observation.shape[:-1], 1)), jnp.zeros(observation.shape[:-1])


def start(env, num_envs=3, **settings):
    wrapped = safety_envs.wrap(env, **settings)
    return wrapped, wrapped.reset(jax.random.split(jax.random.key(2), num_envs))


@pytest.fixture(scope="module")
def counted():
    """One environment that terminates after 5 steps, in a jitted rollout of any length."""
    wrapped, state = start(CountingEnv(lifetime=5, cost=2.0, episode_length=100))
    run = jax.jit(lambda n: collect(wrapped, counting_action, state, jax.random.key(0), n, CAPACITY))
    return run


@pytest.mark.parametrize("num_steps", [0, 1, 5, 13, CAPACITY])
def test_holds_what_happened_for_any_length(counted, num_steps):
    state, rollout, totals = counted(jnp.int32(num_steps))
    chex.assert_shape(rollout.reward, (CAPACITY, 3))
    chex.assert_trees_all_equal(rollout.mask[:, 0], jnp.arange(CAPACITY) < num_steps)
    assert int(rollout.num_steps) == num_steps
    age = np.arange(num_steps) % 5
    np.testing.assert_array_equal(rollout.observation[:num_steps, 0, 1], age)
    # the observation a step led to, before any reset: 5 where the episode ended, never 0
    np.testing.assert_array_equal(rollout.next_observation[:num_steps, 0, 1], age + 1)
    np.testing.assert_array_equal(rollout.terminated[:num_steps, 0], age == 4)
    assert not rollout.truncated.any()
    np.testing.assert_array_equal(rollout.cost[:num_steps, 0], np.full((num_steps, 1), 2.0))
    episodes = 3 * (num_steps // 5)
    assert float(totals.episodes) == episodes
    assert float(totals.cost[0]) == 10 * episodes
    assert float(totals.length) == 5 * episodes
    assert (state.info["steps"] == (num_steps - 1) % 5 + 1).all() or num_steps == 0


def test_one_compile_for_every_length(counted):
    for num_steps in (3, 9, 24):
        counted(jnp.int32(num_steps))
    assert counted._cache_size() == 1


def test_time_limit_is_truncation():
    wrapped, state = start(CountingEnv(lifetime=1000, episode_length=4))
    _, rollout, _ = collect(wrapped, counting_action, state, jax.random.key(0), jnp.int32(9), CAPACITY)
    np.testing.assert_array_equal(rollout.truncated[:9, 0], np.arange(9) % 4 == 3)
    assert not rollout.terminated.any()


def test_rollouts_continue_one_another():
    """Two rollouts of 4 and 3 steps see the same episode as one of 7."""
    wrapped, state = start(CountingEnv(lifetime=1000, episode_length=100))
    middle, first, _ = collect(wrapped, counting_action, state, jax.random.key(0), jnp.int32(4), CAPACITY)
    _, second, _ = collect(wrapped, counting_action, middle, jax.random.key(1), jnp.int32(3), CAPACITY)
    _, whole, _ = collect(wrapped, counting_action, state, jax.random.key(0), jnp.int32(7), CAPACITY)
    joined = jnp.concatenate([first.observation[:4], second.observation[:3]])
    chex.assert_trees_all_equal(joined, whole.observation[:7])


def test_lanes_of_different_length_equal_their_own_runs():
    wrapped, state = start(TugOfWar())
    lengths = jnp.array([3, 20, 11], jnp.int32)
    keys = jax.random.split(jax.random.key(5), 3)
    run = lambda key, n: collect(wrapped, acting, state, key, n, CAPACITY)  # noqa: E731
    together = jax.vmap(run)(keys, lengths)
    for lane in range(3):
        lane_state, lane_rollout, lane_totals = jax.tree.map(lambda x, i=lane: x[i], together)
        expected_state, expected, totals = run(keys[lane], lengths[lane])
        n = int(lengths[lane])
        chex.assert_trees_all_equal(
            jax.tree.map(lambda x, n=n: x[:n], lane_rollout), jax.tree.map(lambda x, n=n: x[:n], expected)
        )
        assert not lane_rollout.mask[n:].any()
        chex.assert_trees_all_equal(lane_totals, totals)
        chex.assert_trees_all_equal(lane_state.info["steps"], expected_state.info["steps"])
        chex.assert_trees_all_equal(lane_state.pipeline_state, expected_state.pipeline_state)


def test_estimate_is_the_mean_over_finished_episodes_else_per_step_times_length(counted):
    previous = EpisodeEstimate(jnp.float32(-1.0), jnp.array([-1.0]), jnp.float32(50.0))
    _, rollout, totals = counted(jnp.int32(13))
    finished = estimate_episodes(rollout, totals, previous)
    assert (float(finished.reward), float(finished.cost[0]), float(finished.length)) == (5.0, 10.0, 5.0)
    _, rollout, totals = counted(jnp.int32(4))
    running = estimate_episodes(rollout, totals, previous)
    assert (float(running.reward), float(running.cost[0]), float(running.length)) == (50.0, 100.0, 50.0)


def test_staggered_episodes_are_not_counted_until_they_are_whole():
    wrapped, state = start(CountingEnv(lifetime=1000, cost=1.0, episode_length=8), num_envs=4)
    state = wrapped.stagger(state)
    _, _, totals = collect(wrapped, counting_action, state, jax.random.key(0), jnp.int32(8), CAPACITY)
    assert (float(totals.episodes), float(totals.cost[0])) == (1.0, 8.0)
    _, _, totals = collect(wrapped, counting_action, state, jax.random.key(0), jnp.int32(16), CAPACITY)
    assert float(totals.cost[0]) == 8 * float(totals.episodes) == 8 * 5


def test_unused_entries_are_zero_also_in_lanes_that_wait():
    wrapped, state = start(TugOfWar())
    run = lambda n: collect(wrapped, acting, state, jax.random.key(0), n, CAPACITY)[1]  # noqa: E731
    rollout = jax.vmap(run)(jnp.array([3, 20], jnp.int32))
    for leaf in rollout:
        assert not leaf[0, 3:].any()
        assert not leaf[1, 20:].any()


def test_waiting_lanes_neither_copy_the_reset_pool_nor_change_what_resets_come():
    wrapped, state = start(CountingEnv(lifetime=5, episode_length=100))
    run = lambda n: collect(wrapped, counting_action, state, jax.random.key(0), n, CAPACITY)  # noqa: E731
    waited, _, _ = jax.vmap(run)(jnp.array([4, 23], jnp.int32))
    waited = jax.tree.map(lambda x: x[0], waited)
    alone, _, _ = run(jnp.int32(4))
    resume = lambda s: collect(wrapped, counting_action, s, jax.random.key(1), jnp.int32(24), CAPACITY)[1]  # noqa: E731
    chex.assert_trees_all_equal(resume(waited).observation, resume(alone).observation)
    starts = state.info["reset_pool"].starts["obs"].shape
    program = jax.jit(jax.vmap(run)).lower(jnp.array([4, 23], jnp.int32)).compile().as_text()
    shape = "f32[" + ",".join(map(str, (2, *starts))) + "]"
    assert not [line for line in program.splitlines() if "select(" in line and shape in line.split("=")[1][:60]]
