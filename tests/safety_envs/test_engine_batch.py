"""One batch of the MuJoCo engine: what breaks a simulation, contact forces, fields that are not the same for all."""

import concurrent.futures
import functools

import jax
import jax.numpy as jnp
import mujoco
import mujoco.batch
import numpy as np
import pytest
import safety_envs
from safety_envs.physics import mujoco_engine


@pytest.mark.parametrize("cause", ["control", "state", "model"])
def test_what_breaks_one_simulation_is_not_seen_by_the_others(cause, key):
    """A control or a state that is not finite, or a warning of MuJoCo: bodies without any inertia."""
    env = safety_envs.make("safety_ant_velocity", backend="mujoco")
    states = jax.vmap(env.reset)(jax.random.split(key, 3)).pipeline_state
    actions, scale = jnp.full((3, 8), 0.3), jnp.ones(3)

    @jax.jit
    @jax.vmap
    def step(state, action, scale):
        fields = ("body_mass", "body_inertia", "dof_armature")
        system = env.sys.tree_replace({name: scale * getattr(env.sys, name) for name in fields})
        return env.physics.step(system, state, action)

    expected = step(states, actions, scale)
    if cause == "control":
        actions = actions.at[1, 2].set(jnp.inf)
    elif cause == "model":
        scale = scale.at[1].set(0.0)
    else:
        q = states.q.at[1, 3].set(jnp.nan)
        broken = jax.vmap(functools.partial(env.physics.init, env.sys))(q, states.qd)
        np.testing.assert_array_equal(np.isnan(broken.readings.velocity).all(axis=1), [False, True, False])
        states = broken
    after = step(states, actions, scale)
    for ours, theirs in zip(jax.tree.leaves(after.readings), jax.tree.leaves(expected.readings), strict=True):
        assert np.isnan(ours[1]).all()
        np.testing.assert_array_equal(ours[::2], theirs[::2])
    later = step(after, jnp.zeros((3, 8)), jnp.ones(3))
    np.testing.assert_array_equal(np.isnan(later.q).all(axis=1), [False, True, False])


class Raising:
    """A batch in which MuJoCo raises an error in the second simulation, when the others are done."""

    def __init__(self, batch):
        self.batch, self.status = batch, np.array([0, 1, 0])

    def __getattr__(self, name):
        return getattr(self.batch, name)

    def step(self, **options):
        self.batch.step(**options)
        raise mujoco.batch.SimulationError(np.array([1]), "no room")


def test_an_error_in_one_simulation_leaves_the_others_their_contact_forces(key, monkeypatch):
    make = lambda: safety_envs.make("safety_humanoidstandup", backend="mujoco")  # noqa: E731
    plain, env = make(), make()
    env.physics.identity = b"not the plain one"  # programs of one task share the physics of the first
    state = jax.vmap(plain.reset)(jax.random.split(key, 3))
    actions = jnp.full((3, 17), 0.2)
    for _ in range(5):
        before, state = state, jax.vmap(plain.step)(state, actions)
    batch = env.physics._batch(3, ())
    monkeypatch.setattr(batch, "_batch", Raising(batch._batch))
    after = jax.vmap(env.step)(before, actions)
    assert np.isnan(after.obs[1]).all()
    np.testing.assert_array_equal(after.obs[::2], state.obs[::2])
    assert np.abs(state.pipeline_state.readings.contact_force).max() > 0


def test_a_step_does_not_go_on_from_what_the_reset_computed_under_another_gravity(key):
    env = safety_envs.make("safety_humanoid", backend="mujoco")
    weightless, heavy = (env.sys.tree_replace({"opt.gravity": jnp.array([0.0, 0.0, g])}) for g in (0.0, -20.0))
    start = env.physics.init(weightless, env.physics.q0, jnp.zeros(env.physics.nv))
    after = env.physics.step(heavy, start, jnp.zeros(17))
    other = safety_envs.make("safety_humanoid", backend="mujoco").physics.step(heavy, start, jnp.zeros(17))
    np.testing.assert_array_equal(after.engine.bits, other.engine.bits)
    assert float(after.qd[2]) < -0.1


def test_more_environments_than_are_stepped_at_once(key, monkeypatch):
    """A task that reads contact forces keeps an MjData for each simulation of a batch, so its batches are small."""

    def run():
        env = safety_envs.make("safety_humanoid", backend="mujoco")
        state = jax.vmap(env.reset)(jax.random.split(key, 7))
        return jax.vmap(env.step)(state, jnp.full((7, 17), 0.2)).obs

    expected = run()
    monkeypatch.setattr(mujoco_engine, "_MOST_PERSISTENT", 3)
    np.testing.assert_array_equal(run(), expected)


def test_the_centre_of_mass_is_that_of_the_changed_masses(key):
    env = safety_envs.make("safety_humanoid", backend="mujoco")
    mass = jnp.zeros_like(env.sys.body_mass).at[3].set(5.0)
    heavy = env.physics.init(env.sys.tree_replace({"body_mass": mass}), env.physics.q0 + 0.1, jnp.zeros(env.physics.nv))
    data = mujoco.MjData(env.sys.model)
    data.qpos[:] = np.asarray(env.physics.q0) + np.float32(0.1)
    mujoco.mj_forward(env.sys.model, data)
    np.testing.assert_allclose(heavy.readings.point, data.xipos[3, :2], atol=1e-5)


@pytest.mark.parametrize("task", ["safety_reacher", "safety_humanoid"])
def test_threads_that_share_a_batch_do_not_mix_their_simulations(task):
    """Two programs of one process, such as training and an evaluation, step the same engine at the same time."""
    engine = safety_envs.make(task, backend="mujoco").physics
    rng = np.random.default_rng(0)
    start = np.concatenate([np.asarray(engine.q0), np.zeros(engine.nv, np.float32)])
    bits, _ = engine.host_init(np.tile(start, (4, 1)) + rng.uniform(-0.01, 0.01, (4, len(start))), {})
    actions = rng.uniform(-0.4, 0.4, (2, 30, 4, engine.action_size)).astype(np.float32)

    def run(actions):
        state, readings = bits, []
        for action in actions:
            state, reading = engine.host_step(state, action, {})
            readings.append(reading)
        return np.stack(readings)

    alone = [run(each) for each in actions]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        together = list(pool.map(run, actions))
    np.testing.assert_array_equal(together, alone)
