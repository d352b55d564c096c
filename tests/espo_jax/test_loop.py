"""The loop: Brax's train function, budgets, one compile, and what happens at nan."""

from types import SimpleNamespace

import chex
import jax.numpy as jnp
import numpy as np
import pytest
from brax.training.types import UInt64

from espo_jax.algorithms import espo
from espo_jax.algorithms.types import NONFINITE_QUANTITIES, Metrics
from espo_jax import loop
from espo_jax.evaluation import evaluator

from tests.probe_envs import TINY, PointEnv, Refund


@pytest.fixture(scope="module")
def trained():
    """What train returned, and what it told its callbacks; its step may be traced only once."""

    def make(env, config):
        algorithm = espo.make(env, config)
        return algorithm._replace(step=chex.assert_max_traces(algorithm.step, n=1))

    seen, policies = [], []
    result = loop.train(
        make,
        PointEnv(),
        num_timesteps=3 * 64,
        progress_fn=lambda num_steps, metrics: seen.append((num_steps, metrics)),
        policy_params_fn=lambda num_steps, make_policy, params: policies.append((num_steps, make_policy, params)),
        num_evals=3,
        num_eval_envs=4,
        zeta_negative=-0.5,
        **{k: v for k, v in TINY.items() if k != "num_iterations"},
    )
    return result, seen, policies


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


def test_train_returns_a_usable_policy(trained, key):
    make_inference_fn, params, _ = trained[0]
    action, _ = make_inference_fn(params)(jnp.zeros((3, 1)), key)
    again, _ = make_inference_fn(params, deterministic=True)(jnp.zeros((3, 1)))
    assert action.shape == again.shape == (3, 1)
    assert np.isfinite(action).all()
    assert len(set(np.ravel(again))) == 1


def test_policies_on_the_way_are_handed_out(trained):
    result, seen, policies = trained
    assert [num_steps for num_steps, _, _ in policies] == [num_steps for num_steps, _ in seen]
    assert all(make_policy is result.make_inference_fn for _, make_policy, _ in policies)
    chex.assert_trees_all_equal(policies[-1][2], result.params)
    assert float(policies[0][2][1]["params"]["log_std"][0]) != float(result.params[1]["params"]["log_std"][0])


def test_train_reports_as_brax_does(trained):
    (_, _, metrics), seen, _ = trained
    # Evaluations are due at 0, 1/2 and all of the samples.
    # 64 samples, then 32 for as long as nothing conflicts.
    steps = [num_steps for num_steps, _ in seen]
    assert steps[0] == 0
    assert 96 <= steps[1] < 192 <= steps[2] < 192 + 70
    assert len(steps) == 3
    assert {"eval/episode_reward", "eval/episode_cost"} <= set(seen[0][1])
    assert {f"training/{name}" for name in ("sps", "walltime", "mode", "conflict_angle", "sample_size")} <= set(metrics)
    assert metrics["training/iteration"] >= 3, "different sample sizes ran, in one trace of the step"
    assert metrics["training/sample_size"] != 64
    assert metrics["eval/episode_length"] == 16
    assert metrics["training/cost_limit"] == PointEnv.cost_limit, "the environment's own limit is the default"
    assert isinstance(metrics["eval/episode_cost"], float)


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


def test_a_negative_cost_says_what_a_cost_is():
    with pytest.raises(
        loop.NegativeCostError, match=r"iteration 1: the environment reported 64 costs below 0"
    ) as caught:
        loop.train(espo.make, Refund(), num_evals=0, **TINY)
    assert "its sum over an episode is what cost_limit bounds from above; change the sign" in str(caught.value)


@pytest.mark.parametrize(
    ("budget", "iteration", "env_steps", "expected"),
    [((10, None), 5, 999, 0.5), ((None, 1000), 5, 250, 0.25), ((10, 1000), 5, 900, 0.9), ((10, 1000), 10, 5, 1.0)],
)
def test_budget_is_used_by_whichever_comes_first(budget, iteration, env_steps, expected):
    assert loop.Budget.create(*budget).fraction(iteration, env_steps) == expected


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({}, "give num_iterations or num_timesteps"),
        ({"num_timesteps": 0}, "num_timesteps is 0: it must be a positive integer"),
        ({"num_iterations": 1, "zeta_negativ": 0.0}, "unknown setting 'zeta_negativ'; did you mean 'zeta_negative'?"),
        ({"num_iterations": 1, "num_envs": 16_001}, "must be at least num_envs"),
        ({"num_iterations": 1, "cost_limit": 0.0}, "this band has no width"),
        ({"num_iterations": 1, "reset_each_iteration": True, "num_envs": 1001}, "at most 700 environments would do"),
    ],
)
def test_train_refuses_before_compiling(kwargs, message):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        loop.train(espo.make, PointEnv(), **kwargs)


def test_evaluation_totals_whole_first_episodes(key):
    def make_inference_fn(params, deterministic):
        return lambda observation, key: (jnp.full((*observation.shape[:-1], 1), params), {})

    env = PointEnv(num_constraints=2)
    result = evaluator(env, make_inference_fn, num_episodes=3, action_repeat=2)(0.5, key)
    np.testing.assert_allclose(result.cost, [16 * 0.35] * 2, rtol=1e-6)
    np.testing.assert_allclose(result.cost_std, [0.0, 0.0], atol=1e-6)
    assert result.length == 8, "agent steps"
    # Positions 0.05, 0.10, ... from a start within 0.1 of 0.
    np.testing.assert_allclose(result.reward, -16 + 0.05 * sum(range(1, 17)), atol=1.6)
    with pytest.raises(ValueError, match="num_episodes is 0"):
        evaluator(env, make_inference_fn, num_episodes=0)
