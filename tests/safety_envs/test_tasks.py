"""Rewards and costs of the Safety-MuJoCo tasks against docs/paper.md, section 10: NumPy on the engine's own data."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
import safety_envs

from tests.safety_envs import gymnasium_v4

STEPS = 40


def paper_table(model, data, robot, before, action, dt):
    """(reward, cost) of one step, from MuJoCo's data after it; `before` holds what was read before it."""
    z = {"walker2d": 1, "hopper": 1, "humanoid": 2}.get(robot)
    x_velocity = (data.qpos[0] - before["x"]) / dt
    effort = float(np.sum(np.asarray(action, np.float64) ** 2))
    if robot == "walker2d":
        height, angle = data.qpos[1:3]
        return x_velocity + (0.8 < height < 2) + (-1 < angle < 1), np.sqrt(1e-3 * effort)
    if robot == "reacher":
        return -np.linalg.norm(before["fingertip"] - before["target"]), effort
    if robot == "humanoidstandup":
        impact = min(0.5e-6 * np.sum(data.cfrc_ext**2), 10)
        return data.qpos[2] / model.opt.timestep, 0.1 * np.sum(data.ctrl**2) + impact
    if robot == "hopper":
        state = np.concatenate([data.qpos, data.qvel])[2:]
        healthy = np.all(np.abs(state) < 100) and data.qpos[z] > 0.7 and abs(data.qpos[2]) < 0.2
        return x_velocity, 0.5 * effort + (not healthy)
    if robot == "ant":
        return (data.body("torso").xpos[0] - before["torso"][0]) / dt, 0.5 * effort
    if robot == "halfcheetah":
        return -abs(x_velocity - 0.3), abs(data.qpos[1])
    if robot == "pusher":
        far = np.linalg.norm(before["object"] - before["goal"])
        near = np.linalg.norm(before["object"] - before["tips_arm"])
        return -far - 0.5 * near, 0.1 * effort
    if robot == "humanoid":
        com = np.sum(model.body_mass[:, None] * data.xipos, axis=0) / np.sum(model.body_mass)
        return 1.25 * (com[0] - before["com_x"]) / dt, 0.1 * np.sum(data.ctrl**2) + (not 1 < data.qpos[z] < 2)
    raise AssertionError(robot)


def read(model, data):
    com = np.sum(model.body_mass[:, None] * data.xipos, axis=0) / np.sum(model.body_mass)
    bodies = {model.body(i).name: data.xpos[i].copy() for i in range(model.nbody)}
    return {"x": data.qpos[0], "com_x": com[0], **bodies}


@pytest.mark.parametrize("name", [n for n in safety_envs.task_names() if not n.endswith("_velocity")])
def test_reward_and_cost_are_the_papers(name, key):
    env = safety_envs.make(name, backend="mujoco")
    gymnasium_env = gymnasium_v4.make(name)
    model, data = gymnasium_env.model, gymnasium_env.data
    robot = gymnasium_v4.robot_of(name)
    # Beyond the control range too: costs are of the raw action.
    scale = 2 * np.abs(env.physics.action_range[:, 1])
    actions = (np.random.default_rng(5).uniform(-1, 1, (STEPS, env.action_size)) * scale).astype(np.float32)

    start = jax.jit(env.reset)(key)
    _, states = jax.jit(lambda s, a: jax.lax.scan(lambda s, a: (env.step(s, a),) * 2, s, a))(start, actions)
    gymnasium_v4.put(gymnasium_env, start.pipeline_state.q, start.pipeline_state.qd)
    costs = []
    for t, action in enumerate(actions):
        before = read(model, data)
        data.ctrl[:] = action
        mujoco.mj_step(model, data, gymnasium_env.frame_skip)
        mujoco.mj_rnePostConstraint(model, data)
        reward, cost = paper_table(model, data, robot, before, action, gymnasium_env.dt)
        np.testing.assert_allclose(states.reward[t], reward, rtol=1e-5, atol=1e-5, err_msg=f"reward at step {t}")
        np.testing.assert_allclose(states.info["cost"][t], cost, rtol=1e-5, atol=1e-6, err_msg=f"cost at step {t}")
        costs.append(cost)
    assert not np.any(states.done)
    assert np.std(costs) > 0


@pytest.mark.parametrize("name", safety_envs.task_names())
def test_resets_are_gymnasiums_distribution(name):
    env = safety_envs.make(name, backend="mujoco")
    gymnasium_env = gymnasium_v4.make(name)
    count = 300
    theirs = []
    for _ in range(count):
        gymnasium_env.reset()
        theirs.append(np.concatenate([gymnasium_env.data.qpos, gymnasium_env.data.qvel]))
    q, qd = jax.vmap(lambda k: env.task.initial(k, env.physics.q0, env.physics.nv))(
        jax.random.split(jax.random.key(2), 20 * count)
    )
    ours, theirs = np.concatenate([q, qd], axis=1), np.array(theirs)
    deviation = np.std(theirs, axis=0)
    np.testing.assert_allclose(ours.mean(axis=0), theirs.mean(axis=0), atol=5 * deviation.max() / np.sqrt(count))
    np.testing.assert_allclose(ours.std(axis=0), deviation, rtol=0.25, atol=1e-6)
    assert np.all(ours.min(axis=0) >= theirs.min(axis=0) - 3 * deviation - 1e-6)


def test_goal_velocity_of_halfcheetah(key):
    def rewards(goal):
        env = safety_envs.make("safety_halfcheetah", backend="mujoco", goal_velocity=goal)
        state = env.reset(key)
        after = env.physics.step(env.sys, state.pipeline_state, jnp.ones(6)).readings
        return float(env.task.reward(after, jnp.ones(6), after)), float(after.velocity[0])

    for goal in (0.3, 1.5):
        reward, velocity = rewards(goal)
        np.testing.assert_allclose(reward, -abs(velocity - goal), rtol=1e-5)


def test_step_reward_adds_gymnasiums_terms(key):
    task, step = (safety_envs.make("safety_hopper", backend="mujoco", reward=r) for r in ("task", "step"))
    action = jnp.array([0.5, -0.5, 2.0])
    states = [jax.jit(env.step)(jax.jit(env.reset)(key), action) for env in (task, step)]
    np.testing.assert_allclose(states[1].reward - states[0].reward, 1.0 - 1e-3 * 4.5, rtol=1e-4)
