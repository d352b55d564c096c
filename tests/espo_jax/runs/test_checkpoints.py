"""Checkpoints: which are kept, when they are due, and that a state survives the disk to the bit."""

import jax
import numpy as np
import pytest
from brax.training.types import UInt64

from espo_jax.runs import checkpoints
from espo_jax.runs.restore import from_arrays, restore
from tests.tiny_runs import prepared


@pytest.fixture
def run(tmp_path):
    """A prepared run and its first state."""
    run = prepared(tmp_path / "run")
    run.directory.close()
    return run, jax.jit(run.algorithm.init)(jax.random.key(0), run.hyperparams)


def shapes(run):
    return jax.eval_shape(run.algorithm.init, jax.random.key(0), run.hyperparams)


def test_state_survives_the_disk_to_the_bit(run, key):
    run, state = run
    with run.checkpoints() as writer:
        writer.save(state, None)
    restored = restore(run.directory.path / "checkpoints", shapes(run), run.config.identity())
    assert restored.iteration == 0
    assert jax.tree.structure(restored.state) == jax.tree.structure(state)
    for saved, loaded in zip(jax.tree.leaves(state), jax.tree.leaves(restored.state), strict=True):
        assert saved.dtype == loaded.dtype
        assert not getattr(loaded, "weak_type", False)
        np.testing.assert_array_equal(*(jax.random.key_data(x) if x.dtype == key.dtype else x for x in (saved, loaded)))


def test_the_counter_of_samples_survives_beyond_32_bits(run):
    run, state = run
    state = state.replace(env_steps=UInt64(hi=10**12 >> 32, lo=10**12 & 0xFFFFFFFF))
    assert int(from_arrays(checkpoints.to_arrays(state), shapes(run)).env_steps) == 10**12


def test_last_two_and_best_safe_are_kept(run):
    run, state = run
    rewards_and_costs = [(1.0, 3.0), (5.0, 4.0), (9.0, 4.1), (2.0, 0.0), (3.0, 0.0)]  # the limit is 4
    with run.checkpoints() as writer:
        for i, (reward, cost) in enumerate(rewards_and_costs, start=1):
            line = {"episode_reward": reward, "episode_cost": cost, "cost_limit": 4.0, "episodes_finished": 1}
            assert writer.save(state.replace(iteration=jax.numpy.int32(i)), line) == (i in (1, 2))
    assert sorted(path.name for path in (run.directory.path / "checkpoints").iterdir()) == ["2", "4", "5"]
    assert writer.best == (2, 5.0)
    assert not checkpoints.is_safe({"episode_cost": [1.0, 5.0], "cost_limit": [4.0, 4.0], "episodes_finished": 3})
    assert not checkpoints.is_safe({"episode_cost": 0.0, "cost_limit": 4.0, "episodes_finished": 0})


@pytest.mark.parametrize(
    ("schedule", "now", "expected"), [((3, 1e9), 6, True), ((3, 1e9), 7, False), ((0, 1e-9), 7, True)]
)
def test_schedule(tmp_path, schedule, now, expected):
    with checkpoints.Checkpoints(tmp_path, checkpoints.Schedule(*schedule), {}) as writer:
        assert writer.due(now) == expected
