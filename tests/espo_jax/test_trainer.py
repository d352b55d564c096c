"""Brax's train function: what it returns and reports, one compile, and what it refuses before compiling."""

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from espo_jax import espo
from espo_jax.loop import NegativeCostError
from espo_jax.trainer import Trainer
from tests.probe_envs import TINY, PointEnv, Refund


@pytest.fixture(scope="module")
def trained():
    """What train returned, and what it told its callbacks; its step may be traced only once."""

    class TracedOnce(Trainer):
        def make(self, *args):
            algorithm = super().make(*args)
            return algorithm._replace(step=chex.assert_max_traces(algorithm.step, n=1))

    seen, policies = [], []
    result = TracedOnce(espo.rule).train(
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


def test_a_negative_cost_says_what_a_cost_is():
    with pytest.raises(NegativeCostError, match=r"iteration 1: the environment reported 64 costs below 0") as caught:
        espo.train(Refund(), num_evals=0, **TINY)
    assert "its sum over an episode is what cost_limit bounds from above; change the sign" in str(caught.value)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({}, "give num_iterations or num_timesteps"),
        ({"num_timesteps": 0}, "num_timesteps is 0: it must be an integer in"),
        ({"num_iterations": 1, "zeta_negativ": 0.0}, "unknown setting 'zeta_negativ'; did you mean 'zeta_negative'?"),
        ({"num_iterations": 1, "num_envs": 16_001}, "must be at least num_envs"),
        ({"num_iterations": 1, "cost_limit": 0.0}, "this band has no width"),
        ({"num_iterations": 1, "reset_each_iteration": True, "num_envs": 1001}, "at most 700 environments would do"),
    ],
)
def test_train_refuses_before_compiling(kwargs, message):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        espo.train(PointEnv(), **kwargs)
