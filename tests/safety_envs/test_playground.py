from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safety_envs
from flax import struct
from safety_envs import SafetyWrapper
from safety_envs.playground import from_playground

from espo_jax import Hyperparams, espo
from espo_jax.presets import resolve
from tests.probe_envs import TINY, PointEnv

NUM_ENVS = 3
LIFETIME = 3


@struct.dataclass
class PlaygroundState:
    data: Any
    obs: Any
    reward: jax.Array
    done: jax.Array
    metrics: dict
    info: dict


class FakePlaygroundEnv:
    """Playground's shape and manners: writes into the info it is given, and reads the observation it gave.

    data.position starts at `start` and moves by the action; data.count counts the steps. `privileged_state` is
    the history [position before, position]. Terminates after LIFETIME steps.
    """

    action_size = 1
    dt = 0.02

    def __init__(self, observations="named"):
        self._observations = observations
        self._mjx_model = {"gain": jnp.ones(())}

    @property
    def unwrapped(self):
        return self

    @property
    def mjx_model(self):
        return self._mjx_model

    def _observe(self, data, before):
        state = jnp.stack([data["position"], data["count"]])
        named = {"state": state, "privileged_state": jnp.stack([before, data["position"]]), "image": jnp.zeros((2, 2))}
        return named if self._observations == "named" else state

    def reset(self, rng):
        rng, key = jax.random.split(rng)
        start = jax.random.uniform(key)
        data = {"position": start, "count": jnp.zeros(())}
        reward, done = jnp.zeros(2)
        return PlaygroundState(data, self._observe(data, start), reward, done, {"moved": jnp.zeros(())}, {"rng": rng})

    def step(self, state, action):
        state.info["rng"], _ = jax.random.split(state.info["rng"])
        state.metrics["moved"] = jnp.abs(action[0])
        data = {
            "position": state.data["position"] + self._mjx_model["gain"] * action[0],
            "count": state.data["count"] + 1,
        }
        before = state.obs["state"][0] if self._observations == "named" else state.obs[0]
        done = (data["count"] >= LIFETIME).astype(float)
        obs = self._observe(data, before)
        return state.replace(data=data, obs=obs, reward=-data["position"], done=done)


class SharedDataEnv(FakePlaygroundEnv):
    """Its data is not mapped by a vmap, as some of Warp's is not."""

    def reset(self, rng):
        state = super().reset(rng)
        return state.replace(data=Unmapped(state.data))


@struct.dataclass
class Unmapped:
    data: Any


jax.interpreters.batching.register_vmappable(
    Unmapped,
    type(None),
    type(None),
    lambda to_elt, get_idx, x, spec: x,
    lambda from_elt, size, x, spec: Unmapped(jax.tree.map(lambda _: jnp.zeros(1), x.data)),
    None,
)


def cost_fn(before, action, after):
    """The distance moved, from the physics' own data: the size of the action, if all states reach the cost."""
    return jnp.abs(after.pipeline_state["position"] - before.pipeline_state["position"])


def rollout(env, num_steps, action=0.5):
    @jax.jit
    def run(keys):
        def step(state, _):
            state = env.step(state, jnp.full((NUM_ENVS, 1), action))
            info = {k: v for k, v in state.info.items() if k != "reset_pool"}
            return state, state.replace(info=info)

        state = env.reset(keys)
        return state, jax.lax.scan(step, state, length=num_steps)[1]

    return run(jax.random.split(jax.random.key(0), NUM_ENVS))


@pytest.mark.parametrize("observations", ["named", "single"])
def test_wrapped_episodes(observations):
    env = SafetyWrapper(from_playground(FakePlaygroundEnv(observations)), cost_fn, cost_limit=1.0, episode_length=100)
    first, states = rollout(safety_envs.wrap(env), 2 * LIFETIME + 1)
    np.testing.assert_array_equal(states.done[:, 0], [0, 0, 1, 0, 0, 1, 0])
    np.testing.assert_array_equal(states.info["truncation"], 0)
    np.testing.assert_array_equal(states.obs[:, 0, 1], [1, 2, 0, 1, 2, 0, 1])
    np.testing.assert_array_equal(states.info["final_observation"][:, 0, 1], [1, 2, 3, 1, 2, 3, 1])
    np.testing.assert_allclose(states.info["final_observation"][2, :, 0], first.obs[:, 0] + 1.5, rtol=1e-6)
    np.testing.assert_array_equal(states.pipeline_state["position"], states.obs[:, :, 0])
    np.testing.assert_allclose(states.info["cost"], 0.5, rtol=1e-6)
    np.testing.assert_allclose(states.info["episode_metrics"]["cost"][:, 0], [0.5, 1, 1.5] * 2 + [0.5], rtol=1e-6)
    np.testing.assert_array_equal(states.reward, -states.info["final_observation"][:, :, 0])
    np.testing.assert_array_equal(states.metrics["moved"], 0.5)
    starts = [first.obs[:, 0], states.obs[2, :, 0], states.obs[5, :, 0]]
    assert len(np.unique(starts)) == 3 * NUM_ENVS


def test_named_observations_that_the_agent_does_not_see_reach_the_environment_and_are_reset_with_it():
    env = SafetyWrapper(from_playground(FakePlaygroundEnv()), cost_fn, episode_length=100)
    first, states = rollout(safety_envs.wrap(env), LIFETIME)
    history = states.info["other_observations"]["privileged_state"]
    np.testing.assert_array_equal(history[0, :, 0], first.obs[:, 0])
    np.testing.assert_array_equal(history[1, :, 0], states.obs[0, :, 0])
    np.testing.assert_array_equal(history[-1], jnp.stack([states.obs[-1, :, 0]] * 2, axis=-1))  # a reset's own
    assert set(states.info["other_observations"]) == {"privileged_state", "image"}


def test_any_named_vector_can_be_the_observation():
    env = from_playground(FakePlaygroundEnv(), "privileged_state")
    state = env.reset(jax.random.key(0))
    next_state = env.step(state, jnp.array([0.25]))
    assert (env.observation_size, env.action_size, env.dt, env.backend) == (2, 1, 0.02, "mjx")
    expected = [state.pipeline_state["position"], next_state.pipeline_state["position"]]
    np.testing.assert_array_equal(next_state.obs, jnp.stack(expected))


def test_step_leaves_the_state_it_is_given_alone():
    env = from_playground(FakePlaygroundEnv())
    state = env.reset(jax.random.key(0))
    before = jax.tree.map(lambda x: x, state)
    env.step(state, jnp.ones(1))
    assert jax.tree.structure(before) == jax.tree.structure(state)
    assert all(x is y for x, y in zip(jax.tree.leaves(before), jax.tree.leaves(state), strict=True))


@pytest.mark.parametrize(
    ("env", "observation", "message"),
    [
        (FakePlaygroundEnv(), "pixels", "unknown observation 'pixels'; known observations: .*privileged_state"),
        (FakePlaygroundEnv("single"), "privileged_state", "known observations: state$"),
        (FakePlaygroundEnv(), "image", r"'image' has shape \(2, 2\); it must be a vector"),
        (SharedDataEnv(), "state", "for 7 environments, which share it: .*impl"),
    ],
)
def test_what_cannot_be_used_is_an_error_at_once(env, observation, message):
    with pytest.raises(ValueError, match=message):
        from_playground(env, observation)


def test_cartpole_trains(key):
    pytest.importorskip("mujoco_playground")
    from mujoco_playground import registry

    env = from_playground(registry.load("CartpoleBalance", config_overrides={"impl": "jax"}))
    env = SafetyWrapper(env, lambda before, action, after: jnp.abs(after.pipeline_state.qvel[0]), cost_limit=1.0)
    config, hyperparams = resolve({**TINY, "episode_length": 8}, env)
    algorithm = espo.make(env, config)
    hyperparams = Hyperparams.create(**hyperparams, config=config)
    state = jax.jit(algorithm.init)(key, hyperparams)
    _, metrics = jax.jit(algorithm.step)(state, hyperparams)
    assert metrics.iteration == 1
    assert metrics.nonfinite == 0
    assert metrics.episode_length == 8
    assert metrics.episodes_finished > 0
    assert metrics.episode_cost > 0
    assert 0 < metrics.episode_reward <= 8  # at most 1 a step


def test_warp_is_refused():
    pytest.importorskip("mujoco_playground")
    from mujoco_playground import registry

    with pytest.raises(ValueError, match=r'config_overrides=\{"impl": "jax"\}'):
        from_playground(registry.load("CartpoleBalance", config_overrides={"impl": "warp"}))


def test_domain_randomisation_changes_each_environments_model():
    env = SafetyWrapper(from_playground(FakePlaygroundEnv()), lambda *_: jnp.zeros(()), episode_length=4)
    gains = jnp.array([1.0, 2.0, 3.0])
    env = safety_envs.wrap(env, randomization_fn=lambda model: ({"gain": gains * model["gain"]}, {"gain": 0}))
    start = env.reset(jax.random.split(jax.random.key(0), 3))
    state = env.step(start, jnp.ones((3, 1)))
    moved = state.pipeline_state["position"] - start.pipeline_state["position"]
    np.testing.assert_allclose(moved, gains, rtol=1e-6)


def test_another_kind_of_environment_is_refused():
    with pytest.raises(ValueError, match="PointEnv is not a MuJoCo Playground environment: its states have no field"):
        from_playground(PointEnv())
