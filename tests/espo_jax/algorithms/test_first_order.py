"""What CUP and PPO-Lagrangian share: descent within a radius, and multipliers that ascend with the violation."""

import dataclasses

import numpy as np
import pytest

from tests import references
from tests.problems import FIRST_ORDER, UPDATE_CONFIG, pose, update

pytestmark = pytest.mark.usefixtures("x64")


@pytest.mark.parametrize("name", ["ppo_lagrangian", "cup"])
def test_descent_stops_at_the_kl_radius(name):
    free = update(name, pose(30.0, **{**FIRST_ORDER, "multiplier_init": 0.0}))
    assert float(free.step_fraction) == 1.0
    stopped = update(name, pose(30.0, **{**FIRST_ORDER, "multiplier_init": 0.0, "target_kl": 1e-4}))
    assert float(stopped.step_fraction) == pytest.approx(1 / 3)
    assert float(stopped.kl) > 1e-4


@pytest.mark.parametrize("name", ["ppo_lagrangian", "cup"])
@pytest.mark.parametrize(("iteration", "left"), [(0, 1.0), (25, 0.75), (100, 0.0), (150, 0.0)])
def test_annealed_learning_rate_falls_linearly_to_0(name, iteration, left):
    def step(**changes):
        return np.asarray(update(name, pose(30.0, iteration=iteration, **{**FIRST_ORDER, **changes})).step)

    annealed = step(anneal_policy_learning_rate=True, num_iterations=100)
    if left:
        np.testing.assert_allclose(annealed, step(policy_learning_rate=0.05 * left), rtol=1e-5)
    else:
        np.testing.assert_array_equal(annealed, 0.0)
    assert np.any(step() != 0)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_multipliers_ascend_between_their_bounds(optimizer):
    config = dataclasses.replace(UPDATE_CONFIG, multiplier_optimizer=optimizer)
    state = None
    values = []
    for cost in (50.0, 60.0, 45.0, 0.0, 0.0, 0.0, 0.0):
        result = update("ppo_lagrangian", pose(cost, config=config, **{**FIRST_ORDER, "multiplier_max": 1.5}), state)
        state = result.state
        values.append(float(result.multiplier[0]))
    if optimizer == "sgd":
        np.testing.assert_allclose(values, [1.0, 1.5, 1.5, 0.0, 0.0, 0.0, 0.0], atol=1e-6)
    else:  # its first step has the length of the learning rate, whatever the violation
        assert values[0] == pytest.approx(0.37, abs=1e-6)
        assert values[0] < values[1] < values[2]


def test_multipliers_stay_as_they_are_during_the_warm_up():
    for name in ("ppo_lagrangian", "cup"):
        result = update(name, pose(500.0, **{**FIRST_ORDER, "warmup_iterations": 1}))
        assert float(result.state.multiplier.value[0]) == pytest.approx(0.3)
        assert float(result.multiplier[0]) == 0.0
        after = update(name, pose(500.0, **FIRST_ORDER))
        expected = references.multiplier_ascent(0.3, [460.0], 0.07)
        assert float(after.multiplier[0]) == pytest.approx(expected, rel=1e-6)
