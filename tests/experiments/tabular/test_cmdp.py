import numpy as np
import pytest
from tabular import cmdp

pytestmark = pytest.mark.usefixtures("x64")


def discounted_sums(problem, policy, steps=400):
    """V_r and V_c by following the distribution of the state, step by step."""
    state, total, factor = problem.start, np.zeros(2), 1.0
    for _ in range(steps):
        pair = state[:, None] * policy
        total = total + factor * np.array([np.sum(pair * problem.reward), np.sum(pair * problem.cost)])
        state, factor = np.einsum("sa,sat->t", pair, problem.transition), factor * problem.discount
    return total


def test_values_are_the_discounted_sums():
    rng = np.random.default_rng(0)
    problem = cmdp.random_cmdp(rng, 4, 3, 0.8)
    policy = rng.dirichlet(np.ones(3), size=4)
    values = cmdp.evaluate(problem, policy)
    np.testing.assert_allclose(values.value, discounted_sums(problem, policy), rtol=1e-10)
    of_state = np.einsum("sa,ksa->ks", policy, values.q)
    np.testing.assert_allclose(of_state @ problem.start, values.value, rtol=1e-10)
    np.testing.assert_allclose(np.sum(values.visits), 1.0)
    reward = np.sum(values.visits[:, None] * policy * problem.reward) / (1 - problem.discount)
    np.testing.assert_allclose(reward, values.value[0], rtol=1e-10)


def test_the_linear_programme_is_the_best_of_all_policies_on_a_grid():
    problem = cmdp.random_cmdp(np.random.default_rng(1), 2, 2, 0.7)
    grid = np.linspace(0, 1, 61)
    found = []
    for first in grid:
        for second in grid:
            policy = np.array([[first, 1 - first], [second, 1 - second]])
            found.append(discounted_sums(problem, policy, 60))
    values = np.array(found)
    within = values[values[:, 1] <= problem.limit]
    best = cmdp.optimum(problem)
    assert best.reward - 0.02 < within[:, 0].max() < best.reward + 1e-6
    assert values[:, 0].max() > best.reward + 0.02, "the limit costs reward"
    free = cmdp.optimum(problem, constrained=False)
    assert abs(free.reward - values[:, 0].max()) < 1e-6
    assert abs(cmdp.optimum(problem, constrained=False, of="cost").cost - values[:, 1].min()) < 1e-6


def test_the_policy_of_the_linear_programme_is_worth_what_it_says():
    problem = cmdp.random_cmdp(np.random.default_rng(2), 5, 3, 0.9)
    best = cmdp.optimum(problem)
    np.testing.assert_allclose(cmdp.evaluate(problem, best.policy).value, [best.reward, best.cost], rtol=1e-8)
    np.testing.assert_allclose(best.cost, problem.limit, rtol=1e-8)


def test_a_limit_that_no_policy_keeps_is_an_error():
    with pytest.raises(ValueError, match="no solution"):
        cmdp.optimum(cmdp.bandit([1, 0], [1, 0.5], limit=0.1))
    with pytest.raises(ValueError, match="of is 'costs'"):
        cmdp.optimum(cmdp.bandit([1, 0], [1, 0], limit=1), of="costs")


def test_the_corridor_has_a_limit_that_binds():
    problem = cmdp.corridor(5, 0.8)
    np.testing.assert_allclose(problem.transition.sum(axis=-1), 1.0)
    assert cmdp.optimum(problem).reward < cmdp.optimum(problem, constrained=False).reward
