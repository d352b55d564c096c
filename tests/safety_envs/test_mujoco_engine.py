"""The MuJoCo engine inside jitted programs: batches, threads, devices, errors, randomisation."""

import os
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safety_envs
from safety_envs.physics import engine_batch


def scan_steps(env, state, actions):
    return jax.lax.scan(lambda s, a: (env.step(s, a),) * 2, state, actions)[1]


def test_vmap_over_seeds_is_bitwise_three_runs():
    env = safety_envs.wrap(safety_envs.make("safety_hopper_velocity", backend="mujoco"), pool_size=2)

    @jax.jit
    def run(key):
        reset_key, action_key = jax.random.split(key)
        actions = jax.random.uniform(action_key, (60, 16, 3), minval=-1.0, maxval=1.0)
        states = scan_steps(env, env.reset(jax.random.split(reset_key, 16)), actions)
        return states.pipeline_state.engine.bits, states.obs, states.done

    keys = jax.random.split(jax.random.key(7), 3)
    together = jax.jit(jax.vmap(run))(keys)
    for i in range(3):
        alone = run(keys[i])
        for ours, theirs in zip(together, alone, strict=True):
            np.testing.assert_array_equal(ours[i], theirs)
    assert np.asarray(together[2]).any()


def test_works_in_a_while_loop_with_a_batched_predicate(key):
    env = safety_envs.make("safety_halfcheetah_velocity", backend="mujoco")

    def run(key, steps):
        start = (0, env.reset(key))
        return jax.lax.while_loop(lambda c: c[0] < steps, lambda c: (c[0] + 1, env.step(c[1], jnp.ones(6))), start)[
            1
        ].pipeline_state.engine.bits

    steps = jnp.array([3, 7])
    keys = jax.random.split(key, 2)
    bits = jax.jit(jax.vmap(run))(keys, steps)
    for i in range(2):
        np.testing.assert_array_equal(bits[i], jax.jit(run)(keys[i], steps[i]))


def test_without_jit_and_with_two_axes(key):
    env = safety_envs.make("safety_hopper", backend="mujoco")
    keys = jax.random.split(key, 6).reshape(2, 3)
    states = jax.vmap(jax.vmap(env.reset))(keys)
    states = jax.vmap(jax.vmap(env.step))(states, jnp.full((2, 3, 3), 0.5))
    assert states.obs.shape == (2, 3, 11)
    one = env.step(env.reset(keys[1, 2]), jnp.full(3, 0.5))
    np.testing.assert_array_equal(one.pipeline_state.engine.bits, states.pipeline_state.engine.bits[1, 2])


def test_compiles_once_and_callbacks_do_not_recompile(key):
    env = safety_envs.make("safety_hopper", backend="mujoco")
    step = jax.jit(env.step)
    state = jax.jit(env.reset)(key)
    for _ in range(3):
        state = step(state, jnp.zeros(3))
    assert step._cache_size() == 1


def test_number_of_threads_does_not_matter(key, monkeypatch):
    keys = jax.random.split(key, 7)

    def bits():
        env = safety_envs.make("safety_ant", backend="mujoco")
        state = jax.vmap(env.reset)(keys)
        return np.asarray(jax.vmap(env.step)(state, jnp.ones((7, 8))).pipeline_state.engine.bits)

    several = bits()
    monkeypatch.setattr(engine_batch, "num_threads", lambda: 1)
    np.testing.assert_array_equal(bits(), several)


def test_action_repeat_sums_costs_and_rewards(key):
    make = safety_envs.make
    once = safety_envs.wrap(make("safety_reacher", backend="mujoco"), episode_length=8)
    twice = safety_envs.wrap(make("safety_reacher", backend="mujoco"), episode_length=8, action_repeat=2)
    keys = jax.random.split(key, 2)
    action = jnp.full((2, 2), 0.4)
    first = jax.jit(once.step)(jax.jit(once.reset)(keys), action)
    second = jax.jit(once.step)(first, action)
    both = jax.jit(twice.step)(jax.jit(twice.reset)(keys), action)
    np.testing.assert_array_equal(both.obs, second.obs)
    np.testing.assert_allclose(both.reward, first.reward + second.reward, rtol=1e-6)
    np.testing.assert_allclose(both.info["cost"], first.info["cost"] + second.info["cost"], rtol=1e-6)


def heavier(system):
    """Brax's convention: (batched system, in_axes)."""
    scale = jnp.array([1.0, 1.0, 3.0])
    batched = system.tree_replace({"body_mass": scale[:, None] * system.body_mass, "opt.gravity": jnp.stack(
        [jnp.array([0.0, 0.0, g]) for g in (-9.81, -5.0, -9.81)]
    )})  # fmt: skip
    in_axes = jax.tree.map(lambda x: None, system).tree_replace({"body_mass": 0, "opt.gravity": 0})
    return batched, in_axes


def test_domain_randomisation_changes_each_environments_model(key):
    plain = safety_envs.make("safety_hopper", backend="mujoco")
    env = safety_envs.wrap(safety_envs.make("safety_hopper", backend="mujoco"), randomization_fn=heavier)
    keys = jnp.stack([key] * 3)
    states = jax.jit(lambda keys: env.step(env.reset(keys), jnp.zeros((3, 3))))(keys)
    reference = safety_envs.wrap(plain)
    plain_states = jax.jit(lambda keys: reference.step(reference.reset(keys), jnp.zeros((3, 3))))(keys)
    np.testing.assert_allclose(states.obs[0], plain_states.obs[0], atol=1e-6)  # masses are float32 here
    fall = np.asarray(states.pipeline_state.qd[:, 1])
    assert fall[1] > fall[0], "less gravity, slower fall"
    assert np.abs(states.obs[2] - states.obs[0]).max() > 1e-6
    np.testing.assert_array_equal(plain.sys.model.body_mass, safety_envs.make("safety_hopper").sys.model.body_mass)
    with pytest.raises(ValueError, match="MuJoCo's model has no array field 'body_weight' that may differ"):
        plain.sys.tree_replace({"body_weight": 1.0})


def test_a_changed_field_reads_back_and_its_shape_is_checked(key):
    env = safety_envs.make("safety_hopper", backend="mujoco")
    system = env.sys.tree_replace({"opt.gravity": 2 * env.sys.opt.gravity, "body_mass": 3 * env.sys.body_mass})
    np.testing.assert_allclose(system.opt.gravity, [0, 0, -19.62], rtol=1e-6)
    np.testing.assert_allclose(system.body_mass, 3 * env.sys.model.body_mass, rtol=1e-6)
    assert system.opt.timestep == env.sys.model.opt.timestep
    with pytest.raises(AttributeError, match="no field 'body_weight'"):
        _ = system.body_weight
    q, qd = env.physics.q0, jnp.zeros(env.physics.nv)
    for value, shape in ((2.0, r"\(\)"), (jnp.ones(3), r"\(3,\)")):
        with pytest.raises(ValueError, match=rf"body_mass has shape {shape}; the model's is \(5,\)"):
            jax.eval_shape(env.physics.init, env.sys.tree_replace({"body_mass": value}), q, qd)


def test_an_action_of_the_wrong_shape_is_refused(key):
    env = safety_envs.make("safety_hopper", backend="mujoco")
    with pytest.raises(ValueError, match=r"action has shape \(6,\); it must be \(3,\)"):
        jax.eval_shape(lambda key: env.step(env.reset(key), jnp.zeros(6)), key)


def test_changes_of_one_system_do_not_stay_for_another(key):
    env = safety_envs.make("safety_hopper", backend="mujoco")
    state = env.reset(key).pipeline_state
    step = lambda changes: np.asarray(  # noqa: E731
        env.physics.step(env.sys.tree_replace(changes), state, jnp.zeros(3)).engine.bits
    )
    wind = {"opt.wind": jnp.ones(3)}
    before = step(wind)
    assert not np.array_equal(step({"opt.gravity": jnp.zeros(3)}), before)
    np.testing.assert_array_equal(step(wind), before)


def test_a_control_or_state_that_is_not_finite_is_seen(key):
    env = safety_envs.make("safety_hopper_velocity", backend="mujoco")
    state = jax.jit(env.reset)(key)
    broken = jax.jit(env.step)(state, jnp.array([jnp.nan, 0.0, 0.0]))
    assert np.isnan(broken.obs).all()
    assert np.isnan(broken.reward)
    assert broken.done == 1
    later = jax.jit(env.step)(broken, jnp.zeros(3))
    assert np.isnan(later.obs).all(), "it stays broken"


def run_python(code, *, timeout, **env):
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True, text=True, timeout=timeout, env={**os.environ, **env},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


ONE_CPU = """
import os
os.sched_setaffinity(0, {next(iter(os.sched_getaffinity(0)))})
import jax, jax.numpy as jnp, safety_envs
env = safety_envs.wrap(safety_envs.make("safety_humanoid", backend="mujoco"), pool_size=1)

@jax.jit
def run(keys):
    return jax.lax.fori_loop(0, 5, lambda i, s: env.step(s, jnp.zeros((1024, 17))), env.reset(keys))

print(run(jax.random.split(jax.random.key(0), 1024)).obs.shape)
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_one_visible_cpu_and_large_batches_do_not_hang():
    assert run_python(ONE_CPU, timeout=300).strip() == "(1024, 376)"


def test_several_devices_share_the_engine_and_refuse_what_would_deadlock():
    code = """
    import jax, jax.numpy as jnp, numpy as np, safety_envs
    from jax.sharding import NamedSharding, PartitionSpec, Mesh
    assert jax.device_count() == 2
    env = safety_envs.make("safety_humanoid", backend="mujoco")
    mesh = Mesh(jax.devices(), ("envs",))
    step = jax.vmap(env.step)

    @jax.jit
    def run(keys):
        actions = jnp.ones((len(keys), 17))
        return jax.lax.fori_loop(0, 3, lambda i, s: step(s, actions), jax.vmap(env.reset)(keys)).obs

    def sharded(count):
        keys = jax.random.split(jax.random.key(0), count)
        return keys, jax.device_put(keys, NamedSharding(mesh, PartitionSpec("envs")))

    alone, shared = map(run, sharded(128))
    np.testing.assert_array_equal(alone, shared)
    try:
        run(sharded(1024)[1])
    except ValueError as error:
        print(error)
    """
    printed = run_python(code, timeout=300, XLA_FLAGS="--xla_force_host_platform_device_count=2")
    assert "would deadlock on several CPU devices" in printed


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux")
def test_ten_thousand_steps_leak_no_memory(key):
    env = safety_envs.make("safety_reacher", backend="mujoco")
    keys = jax.random.split(key, 4)

    @jax.jit
    def thousand(state):
        return jax.lax.fori_loop(0, 1000, lambda i, s: jax.vmap(env.step)(s, jnp.ones((4, 2))), state)

    def resident():
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    state = jax.vmap(env.reset)(keys)
    for _ in range(2):
        state = jax.block_until_ready(thousand(state))
    before = resident()
    for _ in range(10):
        state = jax.block_until_ready(thousand(state))
    # A leak of one batch's state (4 x 40 bytes and more) per step would be over 3 MB.
    assert resident() - before < 2_000_000
