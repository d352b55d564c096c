"""Where single and vector environments of `safety_envs.gymnasium` end and restart episodes."""

import numpy as np
import pytest
from gymnasium import error
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from safety_envs import gymnasium as adapter

NUM_ENVS = 4


@pytest.fixture(scope="module")
def envs():
    return adapter.make_vec("safety_hopper_velocity", NUM_ENVS, backend="mujoco")


@pytest.mark.parametrize("size", [0.5, 3.0])
def test_costs_are_of_the_raw_action(size):
    single = adapter.make("safety_reacher", backend="mujoco")
    vector = adapter.make_vec("safety_reacher", 2, backend="mujoco")
    single.reset(seed=0)
    vector.reset(seed=0)
    assert single.action_space.high.max() == 1
    cost = 2 * size**2  # sum of squares of two torques, also beyond the control range
    assert single.step(np.full(2, size))[4]["cost"] == pytest.approx(cost)
    np.testing.assert_allclose(vector.step(np.full((2, 2), size))[4]["cost"], cost)


def test_a_vector_of_one_is_the_single_environment_at_time_limits():
    options = {"backend": "mujoco", "episode_length": 3}
    single = adapter.make("safety_reacher", **options)
    vector = adapter.make_vec("safety_reacher", 1, **options)
    observation, _ = single.reset(seed=5)
    np.testing.assert_array_equal(observation, vector.reset(seed=5)[0][0])
    rng = np.random.default_rng(0)
    for t in range(1, 8):
        action = rng.uniform(-2, 2, 2)
        observation, reward, terminated, truncated, info = single.step(action)
        observations, rewards, terminations, truncations, infos = vector.step(action[None])
        assert (terminated, truncated) == (False, t % 3 == 0)
        assert (terminations[0], truncations[0]) == (terminated, truncated)
        assert (rewards[0], infos["cost"][0]) == (reward, info["cost"])
        if truncated:
            np.testing.assert_array_equal(infos["final_obs"][0], observation)
            observation, _ = single.reset()
        np.testing.assert_array_equal(observations[0], observation)


def test_totals_and_masks_speak_of_the_ended_environments_alone(envs):
    envs.reset(seed=0)
    rng = np.random.default_rng(0)
    totals = {name: np.zeros(NUM_ENVS) for name in ("reward", "cost", "length")}
    alone = 0
    for _ in range(100):
        _, rewards, terminations, truncations, infos = envs.step(rng.uniform(-1, 1, (NUM_ENVS, 3)))
        ended = terminations | truncations
        for name, value in (("reward", rewards), ("cost", infos["cost"]), ("length", 1)):
            totals[name] += value
        if ended.any():
            alone += not ended.all()
            np.testing.assert_array_equal(infos["_episode_totals"], ended)
            np.testing.assert_array_equal(infos["_final_obs"], ended)
            for name, total in totals.items():
                np.testing.assert_allclose(infos["episode_totals"][name], np.where(ended, total, 0), rtol=1e-5)
                total[ended] = 0
    assert alone > NUM_ENVS, "environments were to end one by one"


def test_resets_without_a_seed_follow_from_the_last_seed_and_differ(envs):
    def starts(reset):
        return np.stack([reset(seed=3)[0], reset()[0], reset()[0]])

    for reset in (envs.reset, adapter.make("safety_hopper_velocity", backend="mujoco").reset):
        first = starts(reset)
        np.testing.assert_array_equal(starts(reset), first)
        for i in range(3):
            assert not np.array_equal(first[i], first[i - 1])


def test_resets_follow_from_a_list_of_seeds_too(envs):
    def starts():
        return np.stack([envs.reset(seed=[4, 3, 2, 1])[0], envs.reset()[0]])

    np.testing.assert_array_equal(starts(), starts())


@pytest.mark.parametrize("seed", [-1, [0, 1, 2, -3], [0.5, 1, 2, 3], 2**32])
def test_a_seed_out_of_range_is_refused(envs, seed):
    with pytest.raises((ValueError, error.Error), match=r"[Ss]eed"):
        envs.reset(seed=seed)


def test_gymnasiums_statistics_wrapper_works_around_a_vector(envs):
    recorded = RecordEpisodeStatistics(envs)
    recorded.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(60):
        *_, infos = recorded.step(rng.uniform(-1, 1, (NUM_ENVS, 3)))
        if "episode" in infos:
            ended = infos["_episode"]
            np.testing.assert_allclose(
                infos["episode"]["r"][ended], infos["episode_totals"]["reward"][ended], rtol=1e-5
            )
    assert recorded.episode_count > NUM_ENVS
