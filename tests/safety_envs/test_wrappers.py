import brax.envs
import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safety_envs
from safety_envs.auto_reset import AutoResetWrapper
from safety_envs.lanes import lanes_max
from safety_envs.wrappers import EpisodeWrapper, SafetyWrapper, vectorize, wrap

from tests.probe_envs import CountingEnv

NUM_ENVS = 3


def keys(num_envs=NUM_ENVS, seed=0):
    return jax.random.split(jax.random.key(seed), num_envs)


def runner(env, num_steps, stagger=False):
    """Compiled: reset keys [N] -> the reset state, and every step's states [T, N, ...] without the pool."""

    @jax.jit
    def run(reset_keys):
        action = jnp.zeros((len(reset_keys), env.action_size))

        def step(state, _):
            state = env.step(state, action)
            info = {k: v for k, v in state.info.items() if k != "reset_pool"}
            return state, state.replace(info=info)

        state = env.reset(reset_keys)
        state = env.stagger(state) if stagger else state
        return state, jax.lax.scan(step, state, length=num_steps)[1]

    return run


def rollout(env, reset_keys, num_steps, stagger=False):
    return runner(env, num_steps, stagger)(reset_keys)


def types(state):
    return jax.tree.map(lambda x: (x.shape, x.dtype, getattr(x, "weak_type", False)), state)


def fast_env():
    # Brax's `fast`: velocity rises by 0.02 with every positive action, and never falls.
    return SafetyWrapper(brax.envs.get_environment("fast"), lambda before, action, after: after.obs[1] * action[0])


def test_time_limit_is_truncation_not_termination():
    _, states = rollout(wrap(CountingEnv(), episode_length=4), keys(), 9)
    expected = np.array([0, 0, 0, 1, 0, 0, 0, 1, 0])
    np.testing.assert_array_equal(states.done, np.tile(expected[:, None], NUM_ENVS))
    np.testing.assert_array_equal(states.info["truncation"], states.done)
    np.testing.assert_array_equal(states.info["steps"][:, 0], [1, 2, 3, 4, 1, 2, 3, 4, 1])


@pytest.mark.parametrize("lifetime", [3, 4])
def test_termination_is_not_truncation_even_on_the_last_step(lifetime):
    _, states = rollout(wrap(CountingEnv(lifetime), episode_length=4), keys(), 4)
    np.testing.assert_array_equal(states.done[:, 0], np.arange(1, 5) == lifetime)
    np.testing.assert_array_equal(states.info["truncation"], 0)


def test_final_observation_is_the_one_before_the_reset():
    reset_state, states = rollout(wrap(CountingEnv(3), episode_length=10), keys(), 7)
    np.testing.assert_array_equal(reset_state.info["final_observation"], reset_state.obs)
    np.testing.assert_array_equal(states.info["final_observation"][:, 0, 1], [1, 2, 3, 1, 2, 3, 1])
    np.testing.assert_array_equal(states.obs[:, 0, 1], [1, 2, 0, 1, 2, 0, 1])
    # The episode that ended still has its own start.
    np.testing.assert_array_equal(states.info["final_observation"][2, :, 0], reset_state.obs[:, 0])
    assert np.all(states.obs[2, :, 0] != reset_state.obs[:, 0])


@pytest.mark.parametrize("pool_size", [1, 2, 5])
def test_every_reset_state_is_new(pool_size):
    num_steps, lifetime = 40, 2
    env = wrap(CountingEnv(lifetime), episode_length=10, pool_size=pool_size)
    reset_state, states = rollout(env, keys(), num_steps)
    starts = np.concatenate([reset_state.obs[None, :, 0], states.obs[lifetime - 1 :: lifetime, :, 0]])
    assert starts.shape == (1 + num_steps // lifetime, NUM_ENVS)
    assert np.unique(starts).size == starts.size


def test_reset_draws_do_not_depend_on_the_pool_size():
    small, large = (rollout(wrap(CountingEnv(None), episode_length=10, pool_size=p), keys(), 50)[1] for p in (1, 7))
    chex.assert_trees_all_equal(small, large)


def test_the_environments_own_info_is_reset_with_the_physics():
    _, states = rollout(wrap(CountingEnv(None), episode_length=10), keys(), 30)
    np.testing.assert_array_equal(states.info["start"], states.pipeline_state["start"])
    assert np.unique(states.info["start"]).size > NUM_ENVS
    np.testing.assert_array_equal(states.info["cost"], 2.0)  # the step's report is not


def test_episode_totals_end_with_the_episode_and_restart_after_it():
    _, states = rollout(wrap(CountingEnv(3, cost=[2.0, 5.0]), episode_length=10), keys(), 5)
    totals = states.info["episode_metrics"]
    length = np.array([1, 2, 3, 1, 2])
    np.testing.assert_array_equal(totals["length"][:, 0], length)
    np.testing.assert_array_equal(totals["sum_reward"][:, 0], length)
    np.testing.assert_array_equal(totals["cost"][:, 0], length[:, None] * np.array([2.0, 5.0]))
    np.testing.assert_array_equal(states.done[:, 0], [0, 0, 1, 0, 0])


def test_action_repeat_sums_reward_and_cost_up_to_a_termination():
    env = wrap(CountingEnv(5), episode_length=12, action_repeat=3)
    _, states = rollout(env, keys(), 4)
    np.testing.assert_array_equal(states.info["cost"][:, 0], [6, 4, 6, 4])
    np.testing.assert_array_equal(states.metrics["cost"], states.info["cost"])
    np.testing.assert_array_equal(states.reward[:, 0], [3, 2, 3, 2])
    np.testing.assert_array_equal(states.done[:, 0], [0, 1, 0, 1])
    np.testing.assert_array_equal(states.info["episode_metrics"]["length"][:, 0], [1, 2, 1, 2])
    np.testing.assert_array_equal(states.info["final_observation"][:, 0, 1], [3, 5, 3, 5])


def test_action_repeat_reaches_the_time_limit():
    _, states = rollout(wrap(CountingEnv(), episode_length=6, action_repeat=3), keys(), 4)
    np.testing.assert_array_equal(states.info["truncation"][:, 0], [0, 1, 0, 1])
    np.testing.assert_array_equal(states.info["episode_metrics"]["cost"][:, 0], [6, 12, 6, 12])


def test_stagger_spreads_the_ages_and_marks_cut_episodes():
    num_envs, length = 4, 8
    env = wrap(CountingEnv(), episode_length=length)
    reset_state, states = rollout(env, keys(num_envs), 3 * length, stagger=True)
    np.testing.assert_array_equal(reset_state.info["steps"], [0, 2, 4, 6])
    np.testing.assert_array_equal(reset_state.info["whole_episode"], [True, False, False, False])
    t = np.arange(1, 3 * length + 1)[:, None]
    first_end = length - np.array([0, 2, 4, 6])
    np.testing.assert_array_equal(states.done, (t - first_end) % length == 0)
    assert np.max(np.sum(states.done, axis=1)) == 1
    np.testing.assert_array_equal(states.info["whole_episode"], (t > first_end) | (first_end == length))
    whole = (states.done == 1) & states.info["whole_episode"]
    np.testing.assert_array_equal(states.info["episode_metrics"]["length"][whole], length)


def test_stagger_keeps_ages_multiples_of_action_repeat():
    env = EpisodeWrapper(vectorize(CountingEnv()), episode_length=8, action_repeat=4)
    state = env.stagger(env.reset(keys(4)))
    np.testing.assert_array_equal(state.info["steps"], [0, 0, 4, 4])


def test_vmapped_lanes_equal_lanes_run_alone():
    env = wrap(CountingEnv(None), episode_length=6, pool_size=2)
    lane_keys = jnp.stack([keys(seed=s) for s in range(3)])

    run = runner(env, 40)
    together = jax.vmap(run)(lane_keys)[1]
    alone = [run(k)[1] for k in lane_keys]
    chex.assert_trees_all_equal(together, jax.tree.map(lambda *x: jnp.stack(x), *alone))


def test_an_environment_does_not_depend_on_its_neighbours():
    env = wrap(CountingEnv(None), episode_length=6, pool_size=2)
    together = rollout(env, keys(5), 40)[1]
    alone = rollout(env, keys(5)[2:3], 40)[1]
    chex.assert_trees_all_equal(jax.tree.map(lambda x: x[:, 2:3], together), alone)


def test_the_top_up_stays_a_branch_under_vmap():
    env = wrap(CountingEnv(), episode_length=6)
    states = jax.eval_shape(jax.vmap(jax.vmap(env.reset)), jnp.stack([jnp.stack([keys(), keys()])]))
    action = jnp.zeros((1, 2, NUM_ENVS, 1))
    jaxpr = jax.make_jaxpr(jax.vmap(jax.vmap(env.step)))(states, action)
    loops = [eqn for eqn in jaxpr.eqns if eqn.primitive.name == "while"]
    num_consts = [eqn.params["cond_nconsts"] + eqn.params["body_nconsts"] for eqn in loops]
    predicates = [eqn.invars[n].aval.shape for eqn, n in zip(loops, num_consts, strict=True)]
    assert predicates == [()]


def test_lanes_max_of_flags_reduces_over_every_mapped_axis():
    flags = jnp.array([[False, False], [False, True]])
    np.testing.assert_array_equal(jax.vmap(jax.vmap(lanes_max))(flags), True)
    np.testing.assert_array_equal(jax.vmap(jax.vmap(lanes_max))(flags & False), False)
    np.testing.assert_array_equal(jax.vmap(jax.vmap(lanes_max), in_axes=(1,))(flags), True)
    out = jax.vmap(lanes_max, out_axes=None)(flags[1])
    assert out.shape == ()


@pytest.mark.parametrize(
    ("make_env", "make_key", "action_repeat"),
    [
        (CountingEnv, jax.random.PRNGKey, 1),
        (CountingEnv, jax.random.key, 2),
        (fast_env, jax.random.PRNGKey, 2),
        (fast_env, jax.random.key, 1),
    ],
)
def test_reset_and_step_have_one_type_and_compile_once(make_env, make_key, action_repeat):
    env = wrap(make_env(), episode_length=4, action_repeat=action_repeat)
    state = jax.jit(env.reset)(jax.random.split(make_key(0), NUM_ENVS))
    action = jnp.ones((NUM_ENVS, 1))

    @jax.jit
    def loop(state):
        return jax.lax.scan(lambda s, _: (env.step(s, action), s.info["cost"]), state, length=6)

    first, _ = loop(state)
    second, cost = loop(first)
    assert loop._cache_size() == 1
    assert types(state) == types(first) == types(second)
    assert not any(getattr(x, "weak_type", False) for x in jax.tree.leaves(state))
    assert np.all(np.isfinite(cost))


def test_wrappers_leave_the_given_state_alone():
    env = wrap(fast_env(), episode_length=4)
    state = env.reset(keys())
    copy = jax.tree.map(lambda x: x, state)
    env.step(state, jnp.ones((NUM_ENVS, 1)))
    env.stagger(state)
    assert jax.tree.structure(state) == jax.tree.structure(copy)
    assert all(x is y for x, y in zip(jax.tree.leaves(state), jax.tree.leaves(copy), strict=True))


def test_safety_wrapper_costs_what_its_function_says():
    env = fast_env()
    state = env.reset(jax.random.key(0))
    assert state.info["cost"] == 0.0
    for t in range(1, 4):
        state = env.step(state, jnp.full(1, 3.0))
        np.testing.assert_allclose(state.info["cost"], 3.0 * 0.02 * t, rtol=1e-6)
        assert state.metrics["cost"] == state.info["cost"]


def test_safety_wrapper_takes_several_constraints_and_limits():
    def two_costs(before, action, after):
        return jnp.stack([jnp.sum(action), after.obs[1] - before.obs[1]])

    env = SafetyWrapper(brax.envs.get_environment("fast"), two_costs, cost_limit=(1.0, 2.0), episode_length=7)
    wrapped = wrap(env)
    assert (wrapped.cost_limit, wrapped.episode_length) == ((1.0, 2.0), 7)
    _, states = rollout(wrapped, keys(), 2)
    assert states.info["cost"].shape == (2, NUM_ENVS, 2)
    assert states.info["episode_metrics"]["cost"].shape == (2, NUM_ENVS, 2)


def test_safety_wrapper_sees_the_state_before_an_environment_that_writes_into_it():
    class Writing(CountingEnv):
        def step(self, state, action):
            state.info["start"] = jnp.asarray(-1.0)
            return super().step(state, action)

    env = SafetyWrapper(Writing(), lambda before, action, after: before.info["start"])
    state = env.reset(jax.random.key(0))
    assert env.step(state, jnp.zeros(1)).info["cost"] == state.info["start"]


def test_domain_randomization_reaches_the_environment_and_keeps_the_cost():
    env = SafetyWrapper(CountingEnv(3), lambda before, action, after: 10.0 * after.reward)

    def randomization_fn(system):
        return {"gain": system["gain"] * jnp.arange(1.0, NUM_ENVS + 1)}, {"gain": 0}

    _, states = rollout(wrap(env, episode_length=10, randomization_fn=randomization_fn), keys(), 7)
    np.testing.assert_array_equal(states.reward, np.tile(np.arange(1.0, NUM_ENVS + 1), (7, 1)))
    np.testing.assert_array_equal(states.info["cost"], 10.0 * states.reward)


def test_an_environment_without_cost_is_refused_before_any_compile():
    with pytest.raises(ValueError, match=r'Fast.reset reports no info\["cost"\]; use SafetyWrapper'):
        wrap(brax.envs.get_environment("fast"), episode_length=4)

    class Forgetful(CountingEnv):
        def step(self, state, action):
            return super().step(state, action).replace(info={})

    with pytest.raises(ValueError, match=r'Forgetful.step reports no info\["cost"\]'):
        wrap(Forgetful(), episode_length=4)


def test_bad_sizes_are_named():
    with pytest.raises(ValueError, match="pass episode_length"):
        wrap(CountingEnv())
    with pytest.raises(ValueError, match="episode_length is 0"):
        wrap(CountingEnv(), episode_length=0)
    with pytest.raises(ValueError, match="action_repeat is 3; it must divide episode_length 10"):
        wrap(CountingEnv(), episode_length=10, action_repeat=3)
    with pytest.raises(ValueError, match="action_repeat is 0"):
        wrap(CountingEnv(), episode_length=10, action_repeat=0)
    with pytest.raises(ValueError, match="pool_size is 0"):
        wrap(CountingEnv(), episode_length=10, pool_size=0)


def test_wrap_is_the_composition_of_the_public_wrappers():
    by_hand = AutoResetWrapper(EpisodeWrapper(vectorize(CountingEnv(None)), 6))
    expected = rollout(by_hand, keys(), 20)[1]
    wrapped = wrap(CountingEnv(None, episode_length=6))
    chex.assert_trees_all_equal(rollout(wrapped, keys(), 20)[1], expected)
    assert safety_envs.wrap is wrap


@pytest.mark.parametrize("cost", [True, 1, 1.0])
@pytest.mark.parametrize("action_repeat", [1, 2])
def test_indicator_costs_are_summed_whatever_their_type(cost, action_repeat):
    wrapped = wrap(CountingEnv(lifetime=1000, cost=cost, episode_length=8), action_repeat=action_repeat)
    step, state = jax.jit(wrapped.step), wrapped.reset(jax.random.split(jax.random.key(0), 2))
    for _ in range(8 // action_repeat):
        state = step(state, jnp.zeros((2, 1)))
    assert (state.info["episode_metrics"]["cost"] == 8).all()
