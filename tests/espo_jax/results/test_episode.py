"""A recorded episode is one of the environment."""

import dataclasses

import jax
import numpy as np
import pytest
import safety_envs

from espo_jax import normalize
from espo_jax.algorithms.inference import inference_fn
from espo_jax.networks import make_networks
from espo_jax.results import episode
from espo_jax.runs import policies
from tests.made_up import hopper
from tests.probe_envs import PointEnv
from tests.tiny_runs import finished


@pytest.fixture(scope="module")
def run_dir():
    return hopper()


def test_an_episode_has_the_time_limit_and_the_repeat_of_the_run(run_dir):
    """The totals are those of `espo eval`'s episode, by another loop over the same environment."""
    config, networks, params = policies.load(run_dir)
    env = safety_envs.make("safety_walker2d_velocity", backend="mujoco")
    networks = make_networks(env.observation_size, env.action_size, 1, config)
    params = (
        normalize.init(env.observation_size),
        networks.unravel_policy(networks.init_policy(jax.random.key(0))),
        None,
    )
    config = dataclasses.replace(config, episode_length=6, action_repeat=3)
    seen = episode.record(env, networks, config, params, deterministic=True)
    assert len(seen.reward) == 6
    state = env.reset(jax.random.split(jax.random.key(0))[0])
    policy, step, rewards = inference_fn(networks, config)(params, True), jax.jit(env.step), []
    for time in range(6):
        if time % 3 == 0:
            action, _ = policy(state.obs)
        state = step(state, action)
        rewards.append(float(state.reward))
    np.testing.assert_allclose(seen.reward, rewards, rtol=1e-5)


@pytest.fixture(scope="module")
def seen(run_dir):
    config, networks, params = policies.load(run_dir)
    return episode.record(safety_envs.make("safety_hopper", backend="mujoco"), networks, config, params, steps=40)


def test_recorded_episode_is_that_of_the_environment(seen, run_dir):
    assert len(seen.q) == len(seen.reward) + 1 == len(seen.cost) + 1
    # Hopper's reward is its mean velocity.
    np.testing.assert_allclose(seen.reward, seen.speed, rtol=1e-5)
    np.testing.assert_allclose(np.diff(seen.q[:, 0]) / seen.dt, seen.speed, atol=1e-4)
    position, axis = seen.geom_poses()
    assert position.shape == axis.shape == (len(seen.q), seen.model.ngeom, 3)
    np.testing.assert_allclose(np.linalg.norm(axis, axis=-1), 1.0, rtol=1e-6)


def test_an_environment_without_model_is_refused():
    config, networks, params = policies.load(finished())
    with pytest.raises(ValueError, match="has no model to show"):
        episode.record(PointEnv(), networks, config, params)
