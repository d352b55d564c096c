import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safety_envs
from gymnasium import error
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from safety_envs import gymnasium as adapter

NAME = "safety_hopper_velocity"
NUM_ENVS = 5


@pytest.fixture(scope="module")
def envs():
    envs = adapter.make_vec(NAME, NUM_ENVS, backend="mujoco")
    envs.reset(seed=0)
    return envs


@pytest.fixture
def actions():
    rng = np.random.default_rng(0)
    return [rng.uniform(-1, 1, (NUM_ENVS, 3)).astype(np.float32) for _ in range(120)]


@pytest.mark.parametrize("name", [NAME, "safety_reacher", "safety_pusher"])
def test_passes_gymnasiums_checker(name):
    env = adapter.make(name, backend="mujoco", episode_length=30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # What the checker recommends and these tasks, as Gymnasium's own, do not have: finite observations,
        # actions in [-1, 1] and a spec.
        warnings.filterwarnings("ignore", message=".*(infinity|normalized space|`spec`|spec=None|not checking).*")
        check_env(env, skip_render_check=True)


def test_vector_is_the_wrapped_environment_step_for_step(envs, actions):
    wrapped = safety_envs.wrap(safety_envs.make(NAME, backend="mujoco"))
    state = jax.jit(wrapped.reset)(jax.vmap(jax.random.key)(jnp.arange(7, 7 + NUM_ENVS, dtype=jnp.uint32)))
    step = jax.jit(wrapped.step)
    observations, infos = envs.reset(seed=7)
    assert infos == {}
    np.testing.assert_array_equal(observations, state.obs)
    ends = 0
    for action in actions:
        state = step(state, action)
        observations, rewards, terminations, truncations, infos = envs.step(action)
        np.testing.assert_array_equal(observations, state.obs)
        np.testing.assert_array_equal(rewards, np.asarray(state.reward, np.float64))
        np.testing.assert_array_equal(terminations | truncations, np.asarray(state.done, bool))
        np.testing.assert_array_equal(infos["cost"], state.info["cost"])
        assert infos["_cost"].all()
        ended = np.asarray(state.done, bool)
        assert ("final_obs" in infos) == bool(ended.any())
        if ended.any():
            ends += ended.sum()
            np.testing.assert_array_equal(infos["_final_obs"], ended)
            for i in range(NUM_ENVS):
                if ended[i]:
                    np.testing.assert_array_equal(infos["final_obs"][i], state.info["final_observation"][i])
                    assert np.abs(infos["final_obs"][i] - observations[i]).max() > 1e-3, "a reset came after it"
                else:
                    assert infos["final_obs"][i] is None
    assert ends > NUM_ENVS


def test_each_environment_is_the_single_one_with_its_seed(envs, actions):
    observations, _ = envs.reset(seed=3)
    single = adapter.make(NAME, backend="mujoco")
    observation, _ = single.reset(seed=5)
    np.testing.assert_array_equal(observation, observations[2])
    total = length = 0
    for action in actions:
        observations, rewards, terminations, truncations, infos = envs.step(action)
        observation, reward, terminated, truncated, info = single.step(action[2])
        total, length = total + reward, length + 1
        assert (reward, terminated, truncated) == (rewards[2], terminations[2], truncations[2])
        assert info["cost"] == infos["cost"][2]
        if terminated or truncated:
            np.testing.assert_array_equal(observation, infos["final_obs"][2])
            np.testing.assert_allclose(infos["episode_totals"]["reward"][2], total, rtol=1e-5)
            assert infos["episode_totals"]["length"][2] == length
            with pytest.raises(error.ResetNeeded):
                single.step(action[2])
            observation, _ = single.reset()
            total = length = 0
        np.testing.assert_array_equal(observation, observations[2])


def test_truncation_is_apart_from_termination():
    envs = adapter.make_vec("safety_reacher", 2, backend="mujoco", episode_length=4)
    envs.reset(seed=0)
    action = np.full((2, 2), 0.5)
    for t in range(1, 9):
        _, _, terminations, truncations, infos = envs.step(action)
        assert not terminations.any()
        assert truncations.all() == (t % 4 == 0)
    np.testing.assert_allclose(infos["episode_totals"]["cost"], 4 * 0.5)
    np.testing.assert_array_equal(infos["episode_totals"]["length"], 4)
    np.testing.assert_array_equal(infos["_episode_totals"], True)


def test_spaces_types_and_own_arrays(envs):
    first, _ = envs.reset(seed=1)
    assert envs.observation_space.contains(first)
    assert envs.single_action_space.shape == (3,)
    assert np.isfinite(envs.action_space.high).all()
    assert envs.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    envs.action_space.seed(0)
    kept = envs.step(envs.action_space.sample())
    copies = [x.copy() for x in kept[:4]]
    for array, dtype in zip(kept, (np.float32, np.float64, bool, bool), strict=False):
        assert array.dtype == dtype
        array[...] = 0
    again = envs.step(envs.action_space.sample())
    for array, copy in zip(kept[:4], copies, strict=True):
        assert not np.shares_memory(array, copy)
    assert not np.array_equal(again[0], kept[0])


def test_seeds_decide_everything(envs, actions):
    def run(seed):
        observations = [envs.reset(seed=seed)[0]]
        observations += [envs.step(action)[0] for action in actions[:60]]
        return np.stack([*observations, envs.reset()[0]])

    np.testing.assert_array_equal(run(11), run(11))
    assert not np.array_equal(run(11), run(12))
    np.testing.assert_array_equal(run(list(range(11, 11 + NUM_ENVS)))[:-1], run(11)[:-1])


def test_compiles_once(envs, actions):
    envs.reset(seed=0)
    for action in actions[:3]:
        envs.step(action)
    assert (envs._reset_fn._cache_size(), envs._step_fn._cache_size()) == (1, 1)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda e: e.step(np.zeros((2, 3))), error.InvalidAction, r"shape \(2, 3\); it must be \(5, 3\)"),
        (lambda e: e.step(np.full((5, 3), np.nan)), error.InvalidAction, "nan or infinity"),
        (
            lambda e: e.reset(seed=[1, 2]),
            ValueError,
            r"shape \(2,\); it must be one number or one for each of 5",
        ),
        (lambda e: e.reset(options={"reset_mask": np.ones(5, bool)}), ValueError, "no options, not 'reset_mask'"),
        (lambda e: adapter.make_vec(NAME, 0), ValueError, "num_envs is 0; it must be a positive integer"),
        (lambda e: adapter.make(NAME, episode_length=0), ValueError, "episode_length is 0; it must be"),
        (lambda e: adapter.make_vec("hopper", 2), ValueError, "unknown task 'hopper'"),
        (lambda e: adapter.make_vec(NAME, 2).step(np.zeros((2, 3))), error.ResetNeeded, "call reset"),
    ],
)
def test_bad_input_is_one_clear_error(envs, call, kind, message):
    with pytest.raises(kind, match=message):
        call(envs)


def test_use_after_close():
    envs = adapter.make_vec("safety_reacher", 2, backend="mujoco")
    envs.close()
    for call in (envs.reset, lambda: envs.step(np.zeros((2, 2)))):
        with pytest.raises(error.ClosedEnvironmentError, match="closed"):
            call()
