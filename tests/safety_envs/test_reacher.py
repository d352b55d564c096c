import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safety_envs

from tests.slow_cases import slow_but

ACTIONS = np.array([[0.3, -0.7], [1.0, 1.0], [3.0, -3.0], [1.0, -1.0]], np.float32)


class Compiled:
    """One environment with its reset and step compiled over a batch, once per backend."""

    def __init__(self, backend):
        self.env = safety_envs.make("safety_reacher", backend=backend)
        self.reset = jax.jit(jax.vmap(self.env.reset))
        self.step = jax.jit(jax.vmap(self.env.step))
        self.start = self.reset(jnp.stack([jax.random.key(0)] * len(ACTIONS)))
        self.first = self.step(self.start, ACTIONS)


@pytest.fixture(scope="module", autouse=True)
def rank_promotion():
    with jax.numpy_rank_promotion("allow"):  # Brax's physics relies on it
        yield


@pytest.fixture(scope="module", params=slow_but(["mujoco", "spring", "warp"], safety_envs.BACKENDS))
def compiled(request, rank_promotion):
    return Compiled(request.param)


def distance(obs):
    return np.linalg.norm(np.asarray(obs)[:, -3:], axis=-1)


def test_sizes_and_published_settings(compiled):
    env = compiled.env
    assert (env.observation_size, env.action_size) == (11, 2)
    assert (env.cost_limit, env.episode_length) == (40.0, 1000)
    np.testing.assert_allclose(env.dt, 0.02, rtol=1e-6)
    assert compiled.start.obs.shape == (len(ACTIONS), 11)


def test_reset_and_step_have_one_type_and_step_compiles_once(compiled):
    types = [
        [(x.shape, x.dtype, x.weak_type) for x in jax.tree.leaves(state)]
        for state in (compiled.start, compiled.first, compiled.step(compiled.first, ACTIONS))
    ]
    assert types[0] == types[1] == types[2]
    assert not any(x.weak_type for x in jax.tree.leaves(compiled.start))
    assert compiled.step._cache_size() == 1


def test_cost_is_of_the_raw_action_and_physics_sees_it_clamped(compiled):
    np.testing.assert_allclose(compiled.first.info["cost"], np.sum(ACTIONS**2, axis=-1), rtol=1e-6)
    np.testing.assert_array_equal(compiled.first.metrics["cost"], compiled.first.info["cost"])
    np.testing.assert_array_equal(compiled.start.info["cost"], 0.0)
    raw, clamped = 2, 3  # (3, -3) and (1, -1)
    assert compiled.first.info["cost"][raw] > compiled.first.info["cost"][clamped]
    np.testing.assert_allclose(compiled.first.obs[raw], compiled.first.obs[clamped], atol=1e-6)
    assert np.max(np.abs(compiled.first.obs[0] - compiled.first.obs[clamped])) > 1e-3


def test_velocity_is_that_of_the_point_over_the_control_step(compiled):
    before, after = compiled.start.pipeline_state, compiled.first.pipeline_state
    np.testing.assert_array_equal(before.readings.velocity, 0.0)
    np.testing.assert_allclose(after.readings.velocity[:, 0], (after.q[:, 0] - before.q[:, 0]) / 0.02, rtol=1e-3)
    assert np.all(np.abs(np.asarray(after.readings.velocity)[[0, 2]]) > 0.1)


def test_reward_is_the_distance_before_the_step(compiled):
    second = compiled.step(compiled.first, ACTIONS)
    np.testing.assert_allclose(compiled.first.reward, -distance(compiled.start.obs), rtol=1e-5)
    np.testing.assert_allclose(second.reward, -distance(compiled.first.obs), rtol=1e-5)
    assert np.all(np.abs(distance(compiled.first.obs) - distance(compiled.start.obs))[:3] > 1e-5)


def test_never_terminates_and_keeps_foreign_info(compiled):
    np.testing.assert_array_equal(compiled.first.done, 0.0)
    traced = jax.eval_shape(
        lambda key: compiled.env.step(
            (state := compiled.env.reset(key)).replace(info={**state.info, "mine": jnp.zeros(3)}), jnp.zeros(2)
        ),
        jax.random.key(0),
    )
    assert traced.info["mine"].shape == (3,)


def test_step_reward_option_adds_the_control_penalty(monkeypatch):
    env = safety_envs.make("safety_reacher", backend="spring", reward="step")
    monkeypatch.setattr(env.physics, "step", lambda system, state, action: state)

    @jax.jit
    def run(key):
        start = env.reset(key)
        return start, env.step(start, ACTIONS[2])

    start, state = run(jax.random.key(0))
    np.testing.assert_allclose(state.reward, -distance(start.obs[None])[0] - 18.0, rtol=1e-6)


def test_reset_distribution():
    env = safety_envs.make("safety_reacher", backend="spring")
    keys = jax.random.split(jax.random.key(1), 20_000)
    q, qd = jax.vmap(lambda key: env.task.initial(key, env.physics.q0, env.physics.nv))(keys)
    q, qd = np.asarray(q), np.asarray(qd)
    assert np.all(np.abs(q[:, :2]) <= 0.1)
    assert np.all(np.abs(qd[:, :2]) <= 0.005)
    np.testing.assert_array_equal(qd[:, 2:], 0.0)
    np.testing.assert_allclose(np.var(q[:, :2], axis=0), 0.2**2 / 12, rtol=0.03)
    np.testing.assert_allclose(np.var(qd[:, :2], axis=0), 0.01**2 / 12, rtol=0.03)
    radius_squared = np.sum(q[:, 2:] ** 2, axis=-1)
    assert np.max(radius_squared) <= 0.2**2 + 1e-6
    np.testing.assert_allclose(np.mean(radius_squared), 0.02, rtol=0.02)  # uniform on the disk's area
    np.testing.assert_allclose(np.mean(q[:, 2:], axis=0), 0.0, atol=0.003)
    assert np.all(np.abs(np.corrcoef(q.T) - np.eye(4)) < 0.03)
    assert np.unique(q[:, 0]).size > 19_000


def test_wrapped_resets_are_fresh_on_real_physics():
    env = safety_envs.wrap(safety_envs.make("safety_reacher", backend="spring"), episode_length=3, pool_size=2)

    @jax.jit
    def run(keys):
        def step(state, _):
            state = env.step(state, jnp.full((2, 2), 0.5))
            return state, (state.obs, state.done, state.info["episode_metrics"]["cost"])

        state = env.reset(keys)
        return state.obs, jax.lax.scan(step, state, length=18)[1]

    first, (obs, done, cost) = run(jax.random.split(jax.random.PRNGKey(0), 2))
    np.testing.assert_array_equal(done[:, 0], np.tile([0, 0, 1], 6))
    np.testing.assert_allclose(cost[2::3], 1.5)
    targets = np.concatenate([first[None], obs[2::3]])[..., 4:6].reshape(-1, 2)
    assert np.unique(targets, axis=0).shape == (14, 2)
