"""The mujoco backend beside Gymnasium's own environments: the same numbers, step by step."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
import safety_envs

from tests.safety_envs import gymnasium_v4

STEPS = 200
MODELS = ("hopper", "walker2d", "halfcheetah", "swimmer", "ant", "humanoid")
VELOCITY_TASKS = tuple(f"safety_{model}_velocity" for model in MODELS)
TASKS_AS_IN_GYMNASIUM = (*VELOCITY_TASKS, "safety_reacher", "safety_humanoidstandup", "safety_pusher")


@pytest.fixture(autouse=True)
def rank_promotion():
    with jax.numpy_rank_promotion("allow"):
        yield


def rollout(env, key, actions):
    """States from a reset on, every leaf [STEPS + 1, ...]; goes on after termination."""

    def run(key, actions):
        start = env.reset(key)
        states = jax.lax.scan(lambda s, a: (env.step(s, a),) * 2, start, actions)[1]
        return jax.tree.map(lambda x, xs: jnp.concatenate([x[None], xs]), start, states)

    return jax.tree.map(np.asarray, jax.jit(run)(key, actions))


def exact_state(env, states):
    """qpos and qvel in float64, from the state's bits."""
    model = env.physics.system.model
    numbers = np.ascontiguousarray(states.pipeline_state.engine.bits).view(np.float64)
    return numbers[:, 1 : 1 + model.nq], numbers[:, 1 + model.nq : 1 + model.nq + model.nv]


@pytest.mark.parametrize("name", TASKS_AS_IN_GYMNASIUM)
def test_two_hundred_random_steps_are_gymnasiums(name, key):
    env = safety_envs.make(name, backend="mujoco", reward="step")
    gymnasium_env = gymnasium_v4.make(name)
    rng = np.random.default_rng(1)
    actions = rng.uniform(-1.2, 1.2, (STEPS, env.action_size)).astype(np.float32)
    states = rollout(env, key, actions)
    q, qd = exact_state(env, states)

    observation = gymnasium_v4.put(gymnasium_env, q[0], qd[0])
    np.testing.assert_allclose(states.obs[0], observation, rtol=1e-5, atol=1e-5)
    for t, action in enumerate(actions, 1):
        observation, reward, terminated, _, _ = gymnasium_env.step(action)
        np.testing.assert_array_equal(q[t], gymnasium_env.data.qpos, err_msg=f"qpos at step {t}")
        np.testing.assert_array_equal(qd[t], gymnasium_env.data.qvel, err_msg=f"qvel at step {t}")
        np.testing.assert_allclose(states.obs[t], observation, rtol=1e-5, atol=1e-5, err_msg=f"step {t}")
        assert bool(states.done[t]) == terminated, f"step {t}"
        if name != "safety_pusher":  # v5 rewards after the step; see the test of Pusher's reward
            np.testing.assert_allclose(states.reward[t], reward, rtol=1e-5, atol=1e-5, err_msg=f"step {t}")
    if env.task.healthy is not None:
        assert states.done.any(), "the test should see a termination"


def test_a_thousand_steps_stay_bitwise(key):
    env = safety_envs.make("safety_walker2d", backend="mujoco")
    gymnasium_env = gymnasium_v4.make("safety_walker2d")
    actions = np.random.default_rng(2).uniform(-1, 1, (1000, env.action_size)).astype(np.float32)
    states = rollout(env, key, actions)
    q, qd = exact_state(env, states)
    gymnasium_v4.put(gymnasium_env, q[0], qd[0])
    for action in actions:
        gymnasium_env.step(action)
    np.testing.assert_array_equal(q[-1], gymnasium_env.data.qpos)
    np.testing.assert_array_equal(qd[-1], gymnasium_env.data.qvel)


@pytest.mark.parametrize("name", VELOCITY_TASKS)
def test_velocity_cost_is_the_indicator_of_gymnasiums_velocity(name, key, monkeypatch):
    thresholds = {"hopper": 0.7402, "walker2d": 2.3415, "halfcheetah": 3.2096, "swimmer": 0.2282}
    planar_thresholds = {"ant": 2.6222, "humanoid": 1.4149}
    env = safety_envs.make(name, backend="mujoco")
    gymnasium_env = gymnasium_v4.make(name)
    model = gymnasium_v4.robot_of(name)
    actions = np.random.default_rng(3).uniform(-1, 1, (50, env.action_size)).astype(np.float32)

    # A push, so that both sides of the threshold are seen.
    start = env.reset(key)
    qd = np.asarray(start.pipeline_state.qd).copy()
    qd[0] += 1.2 * {**thresholds, **planar_thresholds}[model]
    pushed = jax.jit(env.physics.init)(env.sys, start.pipeline_state.q, jnp.asarray(qd))
    _, states = jax.jit(lambda s, a: jax.lax.scan(lambda s, a: (env.step(s, a),) * 2, s, a))(
        start.replace(pipeline_state=pushed), actions
    )
    gymnasium_v4.put(gymnasium_env, start.pipeline_state.q, qd)
    costs = []
    for action in actions:
        info = gymnasium_env.step(action)[-1]
        if model in thresholds:
            costs.append(info["x_velocity"] > thresholds[model])
        else:
            costs.append(np.hypot(info["x_velocity"], info["y_velocity"]) > planar_thresholds[model])
    np.testing.assert_array_equal(states.info["cost"], np.array(costs, np.float32))
    assert 0 < sum(costs) < len(costs), "the test should see both sides of the threshold"


def test_pusher_reward_is_v4s_before_the_step(key):
    env = safety_envs.make("safety_pusher", backend="mujoco", reward="step")
    actions = np.random.default_rng(4).uniform(-1, 1, (20, env.action_size)).astype(np.float32)
    states = rollout(env, key, actions)
    q, qd = exact_state(env, states)
    model = env.physics.system.model
    gymnasium_env = gymnasium_v4.make("safety_pusher")
    gymnasium_v4.put(gymnasium_env, q[0], qd[0])
    for t, action in enumerate(actions, 1):
        fingertip, thing, goal = (gymnasium_env.get_body_com(n).copy() for n in ("tips_arm", "object", "goal"))
        expected = -np.linalg.norm(thing - goal) - 0.5 * np.linalg.norm(thing - fingertip) - 0.1 * np.sum(action**2)
        np.testing.assert_allclose(states.reward[t], expected, rtol=1e-5)
        gymnasium_env.step(action)
    assert model.body("object").mass == mujoco.MjModel.from_xml_path(gymnasium_env.fullpath).body("object").mass
