import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tabular import algorithm, cmdp
from tabular.batch import run_all

from espo_jax import modes
from tests.experiments.tabular.references import bandit_path

pytestmark = pytest.mark.usefixtures("x64")
REWARD, COST = [0.0, 1.0, 0.75], [0.0, 0.75, 0.5]


def decided(cost, reading="centred", algorithm_name="espo", q_cost=(0.0, 0.75, 0.5), **changes):
    settings = algorithm.Settings(0.1, 2.0, -1.0, 0.25, 1000, 0.1, -0.3)._replace(**changes)
    q = jnp.stack([jnp.array([REWARD]), jnp.array([q_cost])])
    policy, visits = jnp.full((1, 3), 1 / 3), jnp.ones(1)
    return algorithm.decide(
        q, policy, visits, jnp.asarray(cost), jnp.asarray(10.0), settings, reading=reading, algorithm=algorithm_name
    )


@pytest.mark.parametrize("cost", [8.9, 9.0, 10.0, 12.0, 12.1])
def test_the_mode_is_the_library_s(cost):
    choice = modes.choose_mode(*map(jnp.array, ([cost], [10.0], [2.0], [-1.0])), 0.25)
    assert decided(cost).mode == modes.mode_of(choice.active, choice.balance)  # the two tables conflict
    assert decided(cost, q_cost=(0.75, 0.0, 0.25)).mode == modes.mode_of(choice.active, jnp.array(False))


@pytest.mark.parametrize(("cost", "size"), [(8.0, 700), (10.0, 1100), (13.0, 700)])
def test_the_size_grows_after_a_conflict_in_the_band_only(cost, size):
    assert decided(cost).next_size == size
    assert decided(cost, q_cost=(0.75, 0.0, 0.25)).next_size == 700


def test_the_direction_and_the_weight_of_each_mode():
    g_r, g_c = np.array(REWARD) - np.mean(REWARD), -(np.array(COST) - np.mean(COST))
    np.testing.assert_allclose(decided(8.0).change[0], g_r, atol=1e-12)
    np.testing.assert_allclose(decided(13.0).change[0], g_c, atol=1e-12)
    assert (decided(8.0).weight, decided(13.0).weight) == (1.0, 0.0)
    y_r, y_c = 0.25 - 0.75 * (g_r @ g_c) / (g_r @ g_r), 0.75 - 0.25 * (g_r @ g_c) / (g_c @ g_c)
    np.testing.assert_allclose(decided(10.0).change[0], y_r * g_r + y_c * g_c, atol=1e-12)
    np.testing.assert_allclose(decided(10.0).weight, y_r)


def test_crpo_has_no_band():
    assert [int(decided(cost, algorithm_name="crpo").mode) for cost in (9.5, 12.0, 12.1)] == [0, 0, 1]


@pytest.mark.parametrize("weight", [0.0, 0.5])
@pytest.mark.parametrize("reading", ["centred", "fisher"])
def test_a_run_is_that_of_an_independent_loop(reading, weight):
    count, limit = 400, 0.3
    problem = cmdp.stack([cmdp.bandit(REWARD, COST, limit)])
    settings = algorithm.of_theorem(problem, count, reward_weight=weight)
    record = run_all(problem, settings, num_iterations=count, reading=reading)
    path, weights, _ = bandit_path(REWARD, COST, limit, 0.5, count, weight, reading == "fisher")
    assert set(np.unique(record.mode[0])) >= {modes.COST, modes.CONFLICT}
    np.testing.assert_allclose(record.value[0, :, 1], path, atol=1e-6)
    np.testing.assert_allclose(record.weight[0], weights, atol=1e-6)


def test_without_a_limit_the_reward_goes_to_its_optimum():
    problem = cmdp.random_cmdp(np.random.default_rng(3), 4, 3, 0.8)._replace(limit=np.float64(1e6))
    best = cmdp.optimum(problem).reward
    settings = algorithm.Settings(1.0, 0.0)
    record = run_all(cmdp.stack([problem]), settings, num_iterations=500)
    rewards = record.value[0, :, 0]
    assert (record.mode == modes.REWARD).all()
    assert (np.diff(rewards) > -1e-12).all(), "an exact natural step raises the value"
    assert abs(best - rewards[-1]) < 1e-3 < best - rewards[0]


def test_totals_are_the_sums_of_the_records():
    problem = cmdp.random_cmdp(np.random.default_rng(4), 3, 2, 0.7)
    settings = algorithm.of_theorem(problem, 300)
    arguments = (problem, settings, jnp.zeros((3, 2)), jax.random.key(0))
    record = jax.jit(functools.partial(algorithm.run, num_iterations=300))(*arguments)
    totals = jax.jit(algorithm.run_totals)(*arguments, 300)
    np.testing.assert_allclose(totals.weight, np.sum(record.weight))
    np.testing.assert_allclose(totals.value, np.sum(record.weight[:, None] * record.value, axis=0))
    np.testing.assert_array_equal(totals.modes, np.bincount(record.mode, minlength=4))


def test_the_settings_of_the_theorem():
    problem = cmdp.random_cmdp(np.random.default_rng(5), 2, 3, 0.75)
    settings = algorithm.of_theorem(problem, 600)
    np.testing.assert_allclose(settings.step_size, 0.125 / 60)
    np.testing.assert_allclose(settings.slack_positive, 0.1 / 0.125)
    assert settings.slack_negative == 0
