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


@pytest.mark.parametrize("impl", ["jax", "warp"])
def test_cartpole_trains(key, impl):
    pytest.importorskip("mujoco_playground")
    from mujoco_playground import registry

    env = from_playground(registry.load("CartpoleBalance", config_overrides={"impl": impl}))
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


class BallsEnv:
    """Playground's shape on MuJoCo Warp: a ball falls on a plane, from 0.2 m and where the action drops the next one.

    Its configuration has room for so many contacts of all environments, as Playground's have.
    """

    action_size, dt = 1, 0.02
    XML = """<mujoco><option timestep="0.01"/><worldbody><geom type="plane" size="5 5 1"/>
      <body pos="0 0 0.2"><freejoint/><geom size="0.1" mass="1"/></body></worldbody></mujoco>"""

    def __init__(self, naconmax=2048, njmax=8):
        from mujoco import MjModel, mjx

        self.unwrapped, self._config = self, {"naconmax": naconmax, "njmax": njmax}
        self.mj_model = MjModel.from_xml_string(self.XML)
        self._mjx_model = mjx.put_model(self.mj_model, impl="warp")
        self.asked = []

    @property
    def mjx_model(self):
        return self._mjx_model

    def reset(self, rng):
        from mujoco import mjx

        self.asked.append(self._config["naconmax"])
        data = mjx.make_data(self.mj_model, impl="warp", naconmax=self._config["naconmax"], njmax=self._config["njmax"])
        data = data.replace(qpos=data.qpos.at[0].set(jax.random.uniform(rng)))
        data = mjx.forward(self.mjx_model, data)
        return PlaygroundState(data, data.qpos[:3], jnp.zeros(()), jnp.zeros(()), {}, {"steps": 0})

    def step(self, state, action):
        from mujoco import mjx

        force = state.data.xfrc_applied.at[1, 0].set(action[0])
        data, _ = jax.lax.scan(
            lambda d, _: (mjx.step(self.mjx_model, d), None), state.data.replace(xfrc_applied=force), length=2
        )
        steps = state.info["steps"] + 1
        done = (steps >= 15).astype(float)
        return state.replace(data=data, obs=data.qpos[:3], reward=data.qvel[0], done=done, info={"steps": steps})


def drop(env, key, num_envs=NUM_ENVS, num_steps=20):
    env = safety_envs.wrap(SafetyWrapper(env, lambda b, a, n: jnp.abs(n.pipeline_state.qvel[0]), episode_length=100))
    start = env.reset(jax.random.split(key, num_envs))
    return jax.lax.scan(
        lambda s, _: ((s := env.step(s, jnp.ones((num_envs, 1)))), (s.obs, s.reward, s.done, s.info["cost"])),
        start, length=num_steps,
    )[1]  # fmt: skip


@pytest.fixture
def warp():
    pytest.importorskip("warp")
    with jax.numpy_rank_promotion("allow"):
        yield


def test_on_warp_each_environment_of_each_seed_is_reset_by_itself_and_has_room_for_its_contacts(warp):
    raw = BallsEnv(naconmax=2048)
    env = from_playground(raw)
    assert (env.backend, env.observation_size) == ("warp", 3)
    keys = jax.random.split(jax.random.key(3), 2)
    raw.asked.clear()
    together = jax.jit(jax.vmap(lambda key: drop(env, key)))(keys)
    pool = 5  # the first reset and those drawn ahead
    assert max(raw.asked) == 2 * NUM_ENVS * pool
    assert raw._config["naconmax"] == 2048
    obs, reward, done, cost = together
    assert np.isfinite(obs).all()
    np.testing.assert_array_equal(np.argmax(done, axis=1), 14)
    np.testing.assert_allclose(obs[:, 14, :, 2], 0.2, rtol=1e-6)  # the next ball
    assert 0.08 < obs[:, 13, :, 2].min() < 0.11, "it lies on the plane"
    np.testing.assert_allclose(reward[0, 3], 1 * 0.08, rtol=1e-3)  # 1 N on 1 kg for 8 x 0.01 s
    np.testing.assert_array_equal(cost, np.abs(reward))
    alone = jax.jit(lambda key: drop(env, key))(keys[1])
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x[1], y), together, alone)


def test_on_warp_an_overflow_is_nan_in_observation_reward_and_state(warp):
    obs, reward, _, cost = jax.jit(lambda key: drop(from_playground(BallsEnv(njmax=2)), key, num_steps=13))(
        jax.random.key(0)
    )
    for values in (obs, reward[..., None], cost[..., None]):
        assert np.isfinite(values[:4]).all()
        assert np.isnan(values[-1]).any(axis=-1).all()


def test_on_warp_domain_randomisation_reaches_each_environment_of_each_seed(warp):
    env = from_playground(BallsEnv())
    factors = jnp.array([1.0, 2.0, 4.0])

    def randomization_fn(model):
        batched = model.tree_replace({"body_mass": factors[:, None] * model.body_mass})
        return batched, jax.tree.map(lambda x: None, model).tree_replace({"body_mass": 0})

    env = SafetyWrapper(env, lambda *_: jnp.zeros(()), episode_length=100)
    env = safety_envs.wrap(env, randomization_fn=randomization_fn)
    run = jax.jit(jax.vmap(lambda key: env.step(env.reset(jax.random.split(key, 3)), jnp.ones((3, 1))).reward))
    np.testing.assert_allclose(run(jax.random.split(jax.random.key(0), 2)), 0.02 / factors[None] * jnp.ones((2, 1)),
                               rtol=1e-3)  # fmt: skip


def test_a_field_that_worlds_share_is_named(warp):
    env = from_playground(BallsEnv())
    state = jax.jit(env.reset)(jax.random.key(0))
    with pytest.raises(AttributeError, match=r"field 'contact' of mjx.Data is not kept with impl='warp'; kept: .*qpos"):
        _ = state.pipeline_state.contact
