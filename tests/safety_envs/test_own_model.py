"""A MuJoCo XML of the user's own as a Task, on every physics."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safety_envs
from safety_envs import SafetyEnv

from tests.own_module import describe

TASK = describe(str(Path(__file__).parent / "pendulum.xml"))


def angles(backend, steps=20):
    """Angles of the pendulum under a constant torque from rest, and the last cost."""
    task = dataclasses.replace(TASK, initial=lambda key, q0, nv: (q0, jnp.zeros(nv)))
    env = SafetyEnv(task, backend)
    state, found = jax.jit(env.reset)(jax.random.key(0)), []
    step = jax.jit(env.step)
    for _ in range(steps):
        state = step(state, jnp.full(1, 0.5))
        found.append(float(state.pipeline_state.q[0]))
    return np.array(found), float(state.info["cost"])


@pytest.mark.parametrize("backend", [b for b in safety_envs.BACKENDS if b != "mujoco"])
def test_every_physics_runs_the_users_model(backend):
    if backend == "warp":
        pytest.importorskip("warp")
    expected, cost = angles("mujoco")
    found, same_cost = angles(backend)
    assert abs(expected[-1]) > 0.3, "the torque moves it"
    assert cost == same_cost == pytest.approx(0.25)
    # spring and positional, in maximal coordinates, are approximate: 10 % after 0.4 s.
    np.testing.assert_allclose(found, expected, atol=0.1 if backend in ("spring", "positional") else 5e-3)


def test_a_task_of_ones_own_starts_near_its_reference_position():
    env = SafetyEnv(TASK, "mujoco")
    q = jax.vmap(lambda key: env.reset(key).pipeline_state.q)(jax.random.split(jax.random.key(1), 20))
    assert 0 < np.abs(q).max() <= 0.01
    assert env.cost_limit == 1.0
    with pytest.raises(ValueError, match="reward is 'step': pendulum has one reward only"):
        SafetyEnv(TASK, "mujoco", "step")


def test_a_model_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"model is \./missing\.xml: there is no such file"):
        SafetyEnv(describe("./missing.xml"), "mujoco")
