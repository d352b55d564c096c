"""Backend warp beside mjx: the same steps, and buffers that grow with seeds x environments or overflow."""

import dataclasses

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
import safety_envs
from safety_envs import SafetyEnv
from safety_envs.physics import warp_support

from espo_jax import Hyperparams, espo
from espo_jax.presets import resolve
from tests.probe_envs import TINY

pytest.importorskip("warp")  # in the extra dev; a machine without its wheels skips

NAME, SEEDS, NUM_ENVS = "safety_walker2d", 2, 3


@pytest.fixture(autouse=True)
def rank_promotion():
    with jax.numpy_rank_promotion("allow"):  # Brax's and MuJoCo's physics rely on it
        yield


@pytest.fixture(scope="module")
def env():
    return safety_envs.make(NAME, backend="warp")


def seeds():
    return jax.random.split(jax.random.key(7), SEEDS)


def episodes(env, key, steps=20):
    reset_key, action_key = jax.random.split(key)
    actions = jax.random.uniform(action_key, (steps, NUM_ENVS, env.action_size), minval=-1.0, maxval=1.0)
    env = safety_envs.vectorize(env)
    start = env.reset(jax.random.split(reset_key, NUM_ENVS))
    states = jax.lax.scan(lambda s, a: ((s := env.step(s, a)), s), start, actions)[1]
    return jax.tree.map(lambda x, xs: jnp.concatenate([x[None], xs]), start, states)


def test_every_step_is_that_of_mjx_to_the_tolerance_of_float32_contact_solvers(env):
    """Both from the states of a walk that falls, with solvers that converge: 3e-6 m or rad, 5e-4 m/s or rad/s."""
    mjx_env = safety_envs.make(NAME, backend="mjx")
    system = mjx_env.sys.replace(opt=mjx_env.sys.opt.replace(iterations=100))  # Brax's 4 do not always converge
    offset = np.asarray(env.physics._offset)

    def step(q, qd, warmstart, action):
        readings = []
        for each, sys, name in ((env, env.sys, "warmstart"), (mjx_env, system, "qacc_warmstart")):
            state = each.physics.init(sys, q + offset, qd)
            state = state.replace(engine=state.engine.replace(**{name: warmstart}))
            readings.append(each.physics.step(sys, state, action).readings)
        return [jnp.abs(x - y) for x, y in ((getattr(r, n) for r in readings) for n in ("q", "qd", "velocity"))]

    q, qd, warmstart, actions, contacts = engine_walk(env.physics._mj_model)
    assert set(contacts) >= {0, 1, 2}, "the walk should see several contacts"
    position, speed, velocity = (x.max() for x in jax.jit(jax.vmap(step))(q, qd, warmstart, actions))
    assert position < 3e-6
    assert speed < 5e-4
    assert velocity < 1e-3  # of x over 8 ms


def engine_walk(model, steps=120):
    """States under random actions by MuJoCo's C engine: q, qd, warm start of the solver, action, number of contacts."""
    data, rng = mujoco.MjData(model), np.random.default_rng(1)
    states = []
    for action in rng.uniform(-1, 1, (steps, model.nu)):
        before = [x.astype(np.float32) for x in (data.qpos, data.qvel, data.qacc_warmstart, action)]
        data.ctrl[:] = action
        mujoco.mj_step(model, data, nstep=4)
        states.append([*before, data.ncon])
    return [np.array(each) for each in zip(*states, strict=True)]


def test_seeds_times_environments_are_what_each_seed_is_alone(env):
    states = jax.jit(jax.vmap(lambda key: episodes(env, key), out_axes=1))(seeds())
    alone = jax.jit(lambda key: episodes(env, key))(seeds()[1])
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x[:, 1], y), states, jax.tree.map(np.asarray, alone))


def test_room_for_contacts_grows_with_environments_and_lanes(env, monkeypatch):
    made = []
    whole = warp_support.empty_data
    monkeypatch.setattr(
        "safety_envs.physics.warp_engine.empty_data", lambda *args: (made.append(args[1]), whole(*args))[1]
    )
    jax.eval_shape(jax.vmap(lambda key: episodes(env, key, 1)), seeds())
    assert max(made) == SEEDS * NUM_ENVS * env.physics._contacts


def test_too_little_room_for_contacts_is_nan_in_all_that_share_it_and_never_silent():
    """A room of 1 for each of 6 environments: they fall, on two feet each."""
    env = SafetyEnv(dataclasses.replace(safety_envs.describe(NAME), max_contacts=1), "warp")
    states = jax.jit(jax.vmap(lambda key: episodes(env, key, 80)))(seeds())
    obs, reward = (np.asarray(x).reshape(SEEDS, 81, NUM_ENVS, -1) for x in (states.obs, states.reward))
    lost = ~np.isfinite(obs).all(axis=-1)
    assert not lost[:, 0].any()
    assert lost[:, -1].all()
    first = lost.argmax(axis=1)
    assert (first == first.flat[0]).all()
    np.testing.assert_array_equal(~np.isfinite(reward[..., 0]), lost)


def test_an_action_that_is_not_finite_is_nan_in_its_environment_alone(env):
    vectorized = safety_envs.vectorize(env)
    state = vectorized.reset(jax.random.split(jax.random.key(0), NUM_ENVS))
    state = jax.jit(vectorized.step)(state, jnp.zeros((NUM_ENVS, env.action_size)).at[1, 2].set(jnp.nan))
    np.testing.assert_array_equal(np.isfinite(state.obs).all(axis=-1), [True, False, True])


def test_domain_randomisation_gives_each_environment_its_own_mass_in_every_lane(env):
    factors = jnp.array([1.0, 2.0, 3.0])

    def randomization_fn(system):
        batched = system.tree_replace({"body_mass": factors[:, None] * system.body_mass})
        return batched, jax.tree.map(lambda x: None, system).tree_replace({"body_mass": 0})

    randomized = safety_envs.vectorize(env, randomization_fn)

    def run(env, key):
        return env.step(env.reset(jnp.full(NUM_ENVS, key)), jnp.full((NUM_ENVS, 6), 0.5)).pipeline_state.qd

    found = jax.jit(jax.vmap(lambda key: run(randomized, key)))(seeds())
    assert (np.abs(np.diff(found, axis=1)).max(axis=-1) > 1e-3).all()
    for i, factor in enumerate(factors):
        system = env.sys.tree_replace({"body_mass": factor * env.sys.body_mass})
        one = env.reset(seeds()[1])
        alone = jax.jit(env.physics.step)(system, one.pipeline_state, jnp.full(6, 0.5)).qd
        np.testing.assert_allclose(found[1, i], alone, rtol=1e-5, atol=1e-6)


def test_it_trains(key):
    config, hyperparams = resolve({**TINY, "episode_length": 8}, safety_envs.make(NAME, backend="warp"))
    hyperparams = Hyperparams.create(**hyperparams, config=config)
    algorithm = espo.make(safety_envs.make(NAME, backend="warp"), config)
    _, metrics = jax.jit(algorithm.step)(jax.jit(algorithm.init)(key, hyperparams), hyperparams)
    assert (int(metrics.iteration), int(metrics.nonfinite)) == (1, 0)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(warp_support.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"backend is 'warp': .* pip install \"espo_jax\[warp\]\""):
        safety_envs.make(NAME, backend="warp")


def test_no_room_is_refused():
    with pytest.raises(ValueError, match="max_contacts is 0; it must be at least 1"):
        SafetyEnv(dataclasses.replace(safety_envs.describe(NAME), max_contacts=0), "warp")


def test_the_room_is_for_all_that_can_touch():
    """Walker2d: torso, and both feet, capsules above a plane, 2 contacts each; 4 rows of a pyramid, 6 limits."""
    model = safety_envs.make(NAME, backend="warp").physics._mj_model
    assert warp_support.contact_room(model) == 6
    assert warp_support.constraint_room(model, 6) == 6 * 4 + 2 * 6
