"""Brax's pipelines beside the MuJoCo engine: the same readings of the same state, and physics that stay finite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safety_envs
from safety_envs.physics import PIPELINES

from tests.safety_envs.gymnasium_v4 import robot_of
from tests.slow_cases import slow_but

ROBOTS = {robot_of(name): name for name in sorted(safety_envs.task_names(), reverse=True)}  # one task of each
TASKS_AND_PIPELINES = [
    (name, backend)
    for name in safety_envs.task_names()
    for backend in PIPELINES
    if backend not in safety_envs.describe(name).refused
]
# The others are slow, for the time that XLA takes to compile physics.
QUICK_READINGS = (
    ("safety_swimmer_velocity", "mjx"),
    *((name, "generalized") for name in ("safety_reacher", "safety_hopper", "safety_ant", "safety_humanoidstandup")),
)
NUM_ENVS = 4


@pytest.fixture(autouse=True)
def rank_promotion():
    with jax.numpy_rank_promotion("allow"):  # Brax's physics relies on it
        yield


def random_states(env, count=5):
    """q [count, nq], qd [count, nv] around the reference position, with unit quaternions."""
    rng = np.random.default_rng(0)
    q = np.asarray(env.physics.q0) + rng.uniform(-0.3, 0.3, (count, len(env.physics.q0)))
    if env.physics.nv < len(env.physics.q0):
        q[:, 3:7] /= np.linalg.norm(q[:, 3:7], axis=1, keepdims=True)
    return q.astype(np.float32), rng.normal(size=(count, env.physics.nv)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "backend"),
    slow_but(QUICK_READINGS, [case for case in TASKS_AND_PIPELINES if case[0] in ROBOTS.values()]),
)
def test_readings_observation_reward_and_cost_are_the_mujoco_backends(name, backend):
    exact, env = safety_envs.make(name, backend="mujoco"), safety_envs.make(name, backend=backend)
    q, qd = random_states(exact)
    assert (env.action_size, env.physics.nv) == (exact.action_size, exact.physics.nv)
    np.testing.assert_allclose(env.dt, exact.dt, rtol=1e-6)
    np.testing.assert_allclose(env.physics.action_range, exact.physics.action_range)

    action = jnp.linspace(-1.5, 1.5, env.action_size)

    def numbers(env):
        def of_one(q, qd):
            readings = env.physics.init(env.sys, q, qd).readings
            before = readings.replace(bodies=None if readings.bodies is None else readings.bodies + 0.1)
            after = readings.replace(velocity=readings.point)
            args = (before, action, after)
            task = env.task
            return readings, (task.observe(readings), task.reward(*args), task.step_reward(*args), task.cost(*args))

        return jax.jit(jax.vmap(of_one))(q, qd)

    (readings, values), (exact_readings, exact_values) = numbers(env), numbers(exact)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=2e-5), (readings, values),
        (exact_readings, exact_values),
    )  # fmt: skip
    if env.task.healthy is not None:
        healthy = jax.vmap(env.task.healthy)(readings)
        np.testing.assert_array_equal(healthy, jax.vmap(env.task.healthy)(exact_readings))


@pytest.mark.parametrize("backend", slow_but(["generalized", "mujoco"], ["generalized", "mjx", "mujoco"]))
def test_actuator_forces_are_the_clamped_controls_times_the_gears(backend):
    env = safety_envs.make("safety_humanoid", backend=backend)
    model = safety_envs.make("safety_humanoid", backend="mujoco").sys.model
    action = np.linspace(-1.0, 1.0, env.action_size).astype(np.float32)

    @jax.jit
    def forces(key):
        return env.step(env.reset(key), jnp.asarray(action)).pipeline_state.readings.actuator_force

    expected = np.zeros(model.nv)
    clamped = np.clip(action, *model.actuator_ctrlrange.T)
    expected[model.jnt_dofadr[model.actuator_trnid[:, 0]]] = model.actuator_gear[:, 0] * clamped
    np.testing.assert_allclose(forces(jax.random.key(0)), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "backend"),
    [
        *slow_but([("safety_reacher", "spring"), ("safety_reacher", "mjx")], TASKS_AND_PIPELINES),
        *((name, "mujoco") for name in safety_envs.task_names()),
    ],
)
def test_a_hundred_random_steps_stay_finite(name, backend):
    env = safety_envs.vectorize(safety_envs.make(name, backend=backend))

    @jax.jit
    def run(key):
        reset_key, action_key = jax.random.split(key)
        actions = jax.random.uniform(action_key, (100, NUM_ENVS, env.action_size), minval=-1.0, maxval=1.0)
        start = env.reset(jax.random.split(reset_key, NUM_ENVS))
        state, (obs, reward, cost) = jax.lax.scan(
            lambda s, a: ((s := env.step(s, a)), (s.obs, s.reward, s.info["cost"])), start, actions
        )
        return start, state, obs, reward, cost

    start, state, obs, reward, cost = run(jax.random.key(0))
    types = [[(x.shape, x.dtype, getattr(x, "weak_type", False)) for x in jax.tree.leaves(s)] for s in (start, state)]
    assert types[0] == types[1]
    for values in (obs, reward, cost):
        assert np.all(np.isfinite(values))
    assert np.all(cost >= 0)
    assert np.std(obs, axis=(0, 1)).max() > 0.01
    assert obs.shape == (100, NUM_ENVS, env.observation_size)


@pytest.mark.parametrize("backend", ["generalized", "spring", "positional"])
def test_swimmer_is_refused_with_the_reason(backend):
    message = f"safety_swimmer_velocity cannot run on backend '{backend}': .*fluid.*; use one of mjx, warp, mujoco"
    with pytest.raises(ValueError, match=message):
        safety_envs.make("safety_swimmer_velocity", backend=backend)


def test_contact_forces_on_mjx_go_to_gymnasiums_bodies():
    env = safety_envs.make("safety_humanoidstandup", backend="mjx")
    system = env.physics.system
    rows = np.asarray(env.physics._kinematics.rows_of(system))
    model = safety_envs.make("safety_humanoidstandup", backend="mujoco").sys.model
    names = [model.body(int(i)).name for i in rows]
    assert names == [system.mj_model.body(i).name for i in range(system.mj_model.nbody)]
    assert set(range(model.nbody)) - set(rows.tolist()) == {model.body(n).id for n in ("right_foot", "left_foot")}


@pytest.mark.slow
def test_contact_forces_on_mjx_carry_the_weight(key):
    env = safety_envs.make("safety_humanoidstandup", backend="mjx")
    model = safety_envs.make("safety_humanoidstandup", backend="mujoco").sys.model

    @jax.jit
    def lie_down(key):
        def step(state, _):
            state = env.step(state, jnp.zeros(env.action_size))
            return state, state.pipeline_state.readings.contact_force

        return jax.lax.scan(step, env.reset(key), length=200)[1]

    forces = np.asarray(lie_down(key))[100:, :, 3:].sum(axis=1).mean(axis=0)  # newtons, over all bodies
    np.testing.assert_allclose(forces[2], 9.81 * model.body_mass.sum(), rtol=0.05)
    np.testing.assert_allclose(forces[:2], 0.0, atol=0.05 * forces[2])


def test_domain_randomisation_of_a_brax_pipeline(key):
    def stronger(system):
        batched = system.tree_replace({"actuator.gear": jnp.array([[25.0, 25.0], [50.0, 50.0]])})
        return batched, jax.tree.map(lambda x: None, system).tree_replace({"actuator.gear": 0})

    env = safety_envs.wrap(safety_envs.make("safety_reacher", backend="spring"), randomization_fn=stronger)
    state = jax.jit(lambda keys: env.step(env.reset(keys), jnp.ones((2, 2))))(jnp.stack([key, key]))
    speed = jnp.linalg.norm(state.pipeline_state.qd, axis=-1)
    np.testing.assert_allclose(speed[1] / speed[0], 2.0, rtol=0.2)
    np.testing.assert_array_equal(state.info["cost"], 2.0)
