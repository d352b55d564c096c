"""The loop: Brax's train function, budgets, one compile, and what happens at nan."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from espo_jax import presets
from espo_jax.algorithms import espo
from espo_jax.config import Hyperparams
from espo_jax.training import loop
from espo_jax.training.evaluation import evaluator

from .probe_envs import TINY, PointEnv


@pytest.fixture(scope="module")
def trained():
    """What train returned, and what it told progress_fn."""
    seen = []
    result = loop.train(
        espo.make,
        PointEnv(),
        num_timesteps=64 * 3,
        progress_fn=lambda num_steps, metrics: seen.append((num_steps, metrics)),
        num_evals=3,
        num_eval_envs=4,
        zeta_positive=0.0,
        zeta_negative=0.0,
        **{k: v for k, v in TINY.items() if k != "num_iterations"},
    )
    return result, seen


def test_train_returns_a_usable_policy(trained, key):
    make_inference_fn, params, _ = trained[0]
    action, _ = make_inference_fn(params)(jnp.zeros((3, 1)), key)
    again, _ = make_inference_fn(params, deterministic=True)(jnp.zeros((3, 1)))
    assert action.shape == again.shape == (3, 1)
    assert np.isfinite(action).all()
    assert len(set(np.ravel(again))) == 1


def test_train_reports_as_brax_does(trained):
    (_, _, metrics), seen = trained
    # Evaluations are due at 0, 1/2 and all of the samples; 1/2 is passed in the second iteration.
    assert [num_steps for num_steps, _ in seen] == [0, 128, 192]
    assert {"eval/episode_reward", "eval/episode_cost"} <= set(seen[0][1])
    assert {f"training/{name}" for name in ("sps", "walltime", "mode", "conflict_angle", "sample_size")} <= set(metrics)
    assert metrics["training/iteration"] == 3
    assert metrics["training/env_steps"] == 192
    assert metrics["eval/episode_length"] == 16
    assert metrics["training/cost_limit"] == PointEnv.cost_limit, "the environment's own limit is the default"
    assert isinstance(metrics["eval/episode_cost"], float)


def test_step_is_compiled_once_with_the_first_call():
    config, values = presets.resolve({**TINY, "zeta_positive": 0.5, "zeta_negative": -0.5}, PointEnv())
    hyperparams = Hyperparams.create(**values, config=config)
    algorithm = espo.make(PointEnv(), config)
    once = algorithm._replace(step=chex.assert_max_traces(algorithm.step, n=1))
    started = loop.start(once, hyperparams, jax.random.key(0))
    iterations = list(loop.iterate(started.step, started.state, hyperparams, loop.Budget.create(4, None)))
    assert [int(i.metrics.iteration) for i in iterations] == [1, 2, 3, 4]
    assert len({int(i.metrics.sample_size) for i in iterations}) > 1
    assert all(i.seconds > 0 for i in iterations)
    assert started.compile_seconds > 10 * max(i.seconds for i in iterations), "compilation is not in the iterations"

    # Going on from a state counts what it has already done.
    rest = loop.iterate(started.step, iterations[1].state, hyperparams, loop.Budget.create(4, None))
    chex.assert_trees_all_equal([i.metrics for i in rest], [i.metrics for i in iterations[2:]])


def test_nan_names_iteration_and_quantity_and_keeps_the_last_good_parameters():
    # 16 steps an iteration: the environment that starts at age 0 is 35 steps old in the third.
    env = PointEnv(episode_length=40, nan_reward_after=35)
    config, values = presets.resolve({**TINY, "zeta_positive": 0.0, "zeta_negative": 0.0}, env)
    hyperparams = Hyperparams.create(**values, config=config)
    started = loop.start(espo.make(env, config), hyperparams, jax.random.key(0))
    finished = []
    with pytest.raises(loop.NonFiniteError, match="^iteration 3: nan or infinity in .*reward") as caught:
        finished.extend(loop.iterate(started.step, started.state, hyperparams, loop.Budget.create(4, None)))
    assert caught.value.iteration == 3
    assert "reward" in caught.value.quantities
    assert np.isfinite(caught.value.state.policy).all()


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
        ({"num_iterations": 1, "num_envs": 7}, "must be a multiple of num_envs"),
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
    assert result.length == 16
    # Positions 0.05, 0.10, ... from a start within 0.1 of 0.
    np.testing.assert_allclose(result.reward, -16 + 0.05 * sum(range(1, 17)), atol=1.6)
    with pytest.raises(ValueError, match="num_episodes is 0"):
        evaluator(env, make_inference_fn, num_episodes=0)
