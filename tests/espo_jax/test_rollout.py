import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safety_envs

from espo_jax.gae import next_values
from espo_jax.rollout import collect
from tests.probe_envs import CountingEnv, TugOfWar

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
    """Three environments that terminate after 5 steps, in a jitted rollout of any size."""
    wrapped, state = start(CountingEnv(lifetime=5, cost=2.0, episode_length=100))
    run = jax.jit(lambda n, turn: collect(wrapped, counting_action, state, jax.random.key(0), n, CAPACITY, turn))
    return lambda n, turn=0: run(jnp.int32(n), jnp.int32(turn))


@pytest.mark.parametrize("sample_size", [0, 1, 3, 5, 15, 38, 39, 3 * CAPACITY])
def test_holds_what_happened_for_any_size(counted, sample_size):
    state, rollout = counted(sample_size)
    chex.assert_shape(rollout.reward, (CAPACITY, 3))
    assert int(rollout.mask.sum()) == sample_size, "exact, whatever the number of environments"
    lengths = np.asarray(rollout.mask.sum(axis=0))
    assert lengths.max() - lengths.min() <= 1
    for env, length in enumerate(lengths):
        age = np.arange(length) % 5
        assert rollout.mask[:length, env].all()
        np.testing.assert_array_equal(rollout.observation[:length, env, 1], age)
        np.testing.assert_array_equal(rollout.age[:length, env], age)
        np.testing.assert_array_equal(rollout.terminated[:length, env], age == 4)
        np.testing.assert_array_equal(rollout.cost[:length, env], np.full((length, 1), 2.0))
        assert int(state.info["steps"][env]) == ((length - 1) % 5 + 1 if length else 0)
    assert not rollout.truncated.any()
    np.testing.assert_array_equal(rollout.finite, rollout.mask)
    np.testing.assert_array_equal(rollout.final_observation[-1], state.obs)
    assert float(rollout.episodes_finished) == sum(length // 5 for length in lengths)


def test_chunks_leave_no_trace():
    """Lanes of different lengths, and environments that use up their drawn resets."""
    wrapped, state = start(CountingEnv(lifetime=None, cost=2.0, episode_length=4), pool_size=1)
    sizes = jnp.array([0, 1, 38, 3 * CAPACITY - 1, 3 * CAPACITY])

    def run(chunk):
        def lane(size):
            return collect(wrapped, acting, state, jax.random.key(0), size, CAPACITY, turn=2, chunk=chunk)

        return jax.jit(jax.vmap(lane))(sizes)

    chex.assert_trees_all_equal(run(8), run(1))


@pytest.mark.parametrize("chunk", [0, 7, 48])
def test_a_chunk_must_divide_the_capacity(chunk):
    wrapped, state = start(CountingEnv(lifetime=5, episode_length=100))
    with pytest.raises(ValueError, match=rf"chunk is {chunk}: it must be a divisor of the capacity \(24 time steps\)"):
        collect(wrapped, acting, state, jax.random.key(0), jnp.int32(9), CAPACITY, chunk=chunk)


def test_what_is_drawn_before_the_loop_is_what_the_keys_give():
    wrapped, state = start(CountingEnv(lifetime=5, episode_length=100))

    def draw(key):
        return jax.random.normal(key, (3, 2))

    def from_noise(observation, noise):
        return noise, jnp.sum(noise, axis=-1)

    args = (state, jax.random.key(0), jnp.int32(38), CAPACITY)
    _, before = collect(wrapped, from_noise, *args, draw=draw)
    _, inside = collect(wrapped, acting, *args)
    chex.assert_trees_all_equal(before, inside)
    assert len(np.unique(before.action[before.mask])) == 76


@pytest.mark.parametrize("sample_size", [0, 2, 15, 38, 3 * CAPACITY])
def test_every_sample_has_the_value_of_where_it_led(sample_size):
    """With the age as the value: 5 at the time limit, before the reset, and never 0."""
    wrapped, state = start(CountingEnv(lifetime=100, episode_length=5))
    _, rollout = collect(wrapped, counting_action, state, jax.random.key(0), jnp.int32(sample_size), CAPACITY)
    age, final = rollout.observation[..., 1], rollout.final_observation[..., 1]
    chex.assert_shape(final, (-(-CAPACITY // 5) + 1, 3))
    value = next_values(age, final, rollout.truncated, rollout.mask)
    np.testing.assert_array_equal(np.where(rollout.mask, value, 0), np.where(rollout.mask, age + 1, 0))
    assert int(rollout.truncated.sum()) == sum(int(n) // 5 for n in rollout.mask.sum(axis=0))


def test_values_follow_staggered_environments_with_action_repeat_in_vmapped_lanes():
    wrapped, state = start(CountingEnv(lifetime=100, episode_length=12), num_envs=5, action_repeat=3)
    state = wrapped.stagger(state)
    run = lambda n: collect(wrapped, counting_action, state, jax.random.key(0), n, CAPACITY)[1]  # noqa: E731
    lanes = jax.vmap(run)(jnp.array([13, 104], jnp.int32))
    for lane, size in enumerate((13, 104)):
        rollout = jax.tree.map(lambda x, lane=lane: x[lane], lanes)
        chex.assert_trees_all_equal(rollout, run(jnp.int32(size)))
        age, final = rollout.observation[..., 1], rollout.final_observation[..., 1]
        value = next_values(age, final, rollout.truncated, rollout.mask)
        np.testing.assert_array_equal(np.where(rollout.mask, value, 0), np.where(rollout.mask, age + 3, 0))
    assert int(lanes.truncated[1].sum()) > 20


def test_an_observation_that_is_not_finite_is_noted_where_the_episode_ends_with_it():
    class Breaks(CountingEnv):
        def step(self, state, action):
            state = super().step(state, action)
            return state.replace(obs=jnp.where(state.done, jnp.nan, state.obs))

    wrapped, state = start(Breaks(lifetime=5, episode_length=100))
    _, rollout = collect(wrapped, counting_action, state, jax.random.key(0), jnp.int32(21), CAPACITY)
    np.testing.assert_array_equal(rollout.finite, rollout.mask & ~rollout.terminated)


def test_one_compile_for_every_size():
    wrapped, state = start(CountingEnv(lifetime=5, episode_length=100))
    run = jax.jit(lambda n, turn: collect(wrapped, counting_action, state, jax.random.key(0), n, CAPACITY, turn))
    for sample_size in (9, 10, 60):
        run(jnp.int32(sample_size), jnp.int32(sample_size % 3))
    assert run._cache_size() == 1


@pytest.mark.parametrize("num_envs", [1, 7, 16])
def test_all_environments_get_the_same_number_of_steps_over_many_partial_rollouts(num_envs):
    wrapped, state = start(CountingEnv(lifetime=1000, episode_length=1000), num_envs=num_envs)
    size = max(1, 7 * num_envs // 10)  # with 0.7 time steps an iteration some stand still in each
    run = jax.jit(lambda s, turn: collect(wrapped, counting_action, s, jax.random.key(0), jnp.int32(size), 2, turn))
    taken, turn = np.zeros(num_envs, int), 0
    for _ in range(25):
        state, rollout = run(state, jnp.int32(turn))
        taken += np.asarray(rollout.mask.sum(axis=0))
        turn = (turn + size) % num_envs
        assert taken.max() - taken.min() <= 1
        np.testing.assert_array_equal(state.info["steps"], taken)
    assert taken.sum() == 25 * size


def test_environments_that_stand_still_are_spread_over_all_ages():
    """Ages rise with the number of an environment; any 30 % of them must not leave a gap of ages."""
    num_envs = 1000
    wrapped, state = start(CountingEnv(lifetime=10**6, episode_length=1000), num_envs=num_envs)
    for turn in (0, 700):
        _, rollout = collect(
            wrapped, counting_action, wrapped.stagger(state), jax.random.key(0), jnp.int32(700), 1, turn
        )
        stepped = np.flatnonzero(rollout.mask[0])
        assert len(stepped) == 700
        assert np.diff(np.concatenate([[-1], stepped, [num_envs]])).max() <= 3


def test_standing_still_loses_nothing():
    """Every environment's own history is that of a rollout in which all step together."""
    wrapped, state = start(CountingEnv(lifetime=5, cost=2.0, episode_length=100), num_envs=4)
    _, whole = collect(wrapped, counting_action, state, jax.random.key(0), jnp.int32(4 * 20), CAPACITY)
    seen, turn = [[] for _ in range(4)], 0
    for size in (3, 7, 5, 9, 1, 14, 6, 11):
        state, rollout = collect(wrapped, counting_action, state, jax.random.key(1), jnp.int32(size), CAPACITY, turn)
        turn = (turn + size) % 4
        for env in range(4):
            seen[env] += np.asarray(rollout.observation[:, env][rollout.mask[:, env]]).tolist()
    for env in range(4):
        expected = np.asarray(whole.observation[: len(seen[env]), env])
        np.testing.assert_array_equal(seen[env], expected)


def test_time_limit_is_truncation():
    wrapped, state = start(CountingEnv(lifetime=1000, episode_length=4))
    _, rollout = collect(wrapped, counting_action, state, jax.random.key(0), jnp.int32(27), CAPACITY)
    np.testing.assert_array_equal(rollout.truncated[:9, 0], np.arange(9) % 4 == 3)
    assert not rollout.terminated.any()
    assert float(rollout.episodes_finished) == 6


def test_only_whole_episodes_count_as_finished():
    """The first episode of each environment but the first began, by `stagger`, at a later age."""
    wrapped, state = start(CountingEnv(lifetime=1000, episode_length=8), num_envs=4)
    run = lambda n: collect(wrapped, counting_action, wrapped.stagger(state), jax.random.key(0), n, CAPACITY)[1]  # noqa: E731
    assert [float(run(jnp.int32(4 * steps)).episodes_finished) for steps in (7, 8, 16)] == [0, 1, 5]


def test_ages_are_agent_steps():
    wrapped, state = start(CountingEnv(lifetime=1000, episode_length=12), action_repeat=3)
    _, rollout = collect(wrapped, counting_action, wrapped.stagger(state), jax.random.key(0), jnp.int32(27), CAPACITY)
    first = np.array([0, 1, 2])  # the staggered ages 0, 4 and 8 in whole agent steps of 3
    np.testing.assert_array_equal(rollout.age[:9], (np.arange(9)[:, None] + first) % 4)


def test_rollouts_continue_one_another():
    """Two rollouts of 4 and 3 steps see the same episode as one of 7."""
    wrapped, state = start(CountingEnv(lifetime=1000, episode_length=100))
    middle, first = collect(wrapped, counting_action, state, jax.random.key(0), jnp.int32(12), CAPACITY)
    _, second = collect(wrapped, counting_action, middle, jax.random.key(1), jnp.int32(9), CAPACITY)
    _, whole = collect(wrapped, counting_action, state, jax.random.key(0), jnp.int32(21), CAPACITY)
    joined = jnp.concatenate([first.observation[:4], second.observation[:3]])
    chex.assert_trees_all_equal(joined, whole.observation[:7])


def test_lanes_of_different_size_equal_their_own_runs():
    wrapped, state = start(TugOfWar())
    sizes = jnp.array([10, 60, 32], jnp.int32)
    keys = jax.random.split(jax.random.key(5), 3)
    run = lambda key, n: collect(wrapped, acting, state, key, n, CAPACITY, 1)  # noqa: E731
    together = jax.vmap(run)(keys, sizes)
    for lane in range(3):
        lane_state, lane_rollout = jax.tree.map(lambda x, i=lane: x[i], together)
        expected_state, expected = run(keys[lane], sizes[lane])
        chex.assert_trees_all_equal(lane_rollout, expected)
        chex.assert_trees_all_equal(lane_state.info["steps"], expected_state.info["steps"])
        chex.assert_trees_all_equal(lane_state.pipeline_state, expected_state.pipeline_state)


def test_unused_entries_are_zero_also_in_lanes_that_wait():
    wrapped, state = start(TugOfWar())
    run = lambda n: collect(wrapped, acting, state, jax.random.key(0), n, CAPACITY)[1]  # noqa: E731
    rollout = jax.vmap(run)(jnp.array([10, 60], jnp.int32))
    for leaf in rollout._replace(final_observation=rollout.mask):
        unused = ~np.asarray(rollout.mask)
        assert not np.asarray(leaf)[unused].any()


def test_waiting_lanes_neither_copy_the_reset_pool_nor_change_what_resets_come():
    wrapped, state = start(CountingEnv(lifetime=5, episode_length=100))
    run = lambda n: collect(wrapped, counting_action, state, jax.random.key(0), n, CAPACITY)  # noqa: E731
    waited, _ = jax.vmap(run)(jnp.array([14, 69], jnp.int32))
    waited = jax.tree.map(lambda x: x[0], waited)
    alone, _ = run(jnp.int32(14))
    resume = lambda s: collect(wrapped, counting_action, s, jax.random.key(1), jnp.int32(72), CAPACITY)[1]  # noqa: E731
    chex.assert_trees_all_equal(resume(waited).observation, resume(alone).observation)
    starts = state.info["reset_pool"].starts["obs"].shape
    program = jax.jit(jax.vmap(run)).lower(jnp.array([14, 69], jnp.int32)).compile().as_text()
    shape = "f32[" + ",".join(map(str, (2, *starts))) + "]"
    assert not [line for line in program.splitlines() if "select(" in line and shape in line.split("=")[1][:60]]
