"""The loop: budgets, and what happens at nan."""

from types import SimpleNamespace

import chex
import pytest
from brax.training.types import UInt64

from espo_jax import espo, loop
from espo_jax.algorithms.metrics import NONFINITE_QUANTITIES, Metrics
from tests.probe_envs import TugOfWar
from tests.problems import TINY_CONFIG, hyperparams


@pytest.fixture
def counting_step():
    """A step without an algorithm: 10 samples an iteration, nan in reward and cost in the fourth."""
    empty = Metrics(*[0] * len(Metrics._fields))

    def step(state, hyperparams):
        del hyperparams
        state = SimpleNamespace(iteration=state.iteration + 1, env_steps=state.env_steps + 10)
        nonfinite = sum(1 << NONFINITE_QUANTITIES.index(name) for name in ("reward", "cost"))
        return state, empty._replace(
            iteration=state.iteration, env_steps=state.env_steps, nonfinite=nonfinite * (state.iteration == 4)
        )

    return step


def test_iterations_that_a_state_counts_already_count(counting_step):
    state = SimpleNamespace(iteration=1, env_steps=UInt64(hi=0, lo=10))
    finished = list(loop.iterate(counting_step, state, None, loop.Budget.create(3, 1000)))
    assert [i.metrics.iteration for i in finished] == [2, 3]
    assert finished[-1].metrics.env_steps == 30


def test_a_budget_beyond_32_bits_ends(counting_step):
    """As int32, the count of samples went from 2^31 - 1 to -2^31, and training never ended."""
    state = SimpleNamespace(iteration=0, env_steps=UInt64(hi=0, lo=2**31 - 15))
    finished = list(loop.iterate(counting_step, state, None, loop.Budget.create(None, 2**31 + 1)))
    assert [int(i.metrics.env_steps) for i in finished] == [2**31 - 5, 2**31 + 5]
    budget = loop.Budget.create(None, 10**12)
    assert budget.fraction(1, 10**12 - 1) < 1 == budget.fraction(1, 10**12)


def test_nan_names_iteration_and_quantity(counting_step):
    iterations = loop.iterate(
        counting_step, SimpleNamespace(iteration=0, env_steps=UInt64(hi=0, lo=0)), None, loop.Budget.create(9, None)
    )
    assert [next(iterations).metrics.iteration for _ in range(3)] == [1, 2, 3]
    with pytest.raises(loop.NonFiniteError, match=r"^iteration 4: nan or infinity in reward, cost$") as caught:
        next(iterations)
    assert caught.value.state.iteration == 4


def test_a_donated_state_gives_its_memory_and_the_same_numbers(key):
    algorithm = espo.make(TugOfWar(), TINY_CONFIG)
    kept, given = (loop.start(algorithm, hyperparams(), key, donate=donate) for donate in (False, True))
    budget = loop.Budget.create(3, None)
    once, again = (list(loop.iterate(run.step, run.state, hyperparams(), budget))[-1] for run in (kept, given))
    chex.assert_trees_all_equal(once.metrics, again.metrics)
    assert given.state.policy.is_deleted()
    assert not kept.state.policy.is_deleted()


@pytest.mark.parametrize(
    ("budget", "iteration", "env_steps", "expected"),
    [((10, None), 5, 999, 0.5), ((None, 1000), 5, 250, 0.25), ((10, 1000), 5, 900, 0.9), ((10, 1000), 10, 5, 1.0)],
)
def test_budget_is_used_by_whichever_comes_first(budget, iteration, env_steps, expected):
    assert loop.Budget.create(*budget).fraction(iteration, env_steps) == expected
