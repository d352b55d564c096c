"""Brax's train function: what it returns and reports, one compile, and what it refuses before compiling."""

import inspect
import json

import chex
import jax.numpy as jnp
import numpy as np
import pytest
import safety_envs

from espo_jax import crpo, cup, espo
from espo_jax.cli.evaluate import EvalOptions, evaluate
from espo_jax.loop import NegativeCostError
from espo_jax.presets import preset, resolve
from espo_jax.trainer import Trainer
from tests import own_module
from tests.probe_envs import TINY, PointEnv, Refund
from tests.shared_programs import shared


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
        preset="none",
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
        espo.train(Refund(), num_evals=0, preset="none", **TINY)
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
        espo.train(PointEnv(), preset="none", **kwargs)


def test_train_says_which_preset_it_took_and_has_the_defaults_of_the_command_line(capsys, tmp_path):
    env = safety_envs.make("safety_hopper_velocity", backend="spring")
    with pytest.raises(ValueError, match="base_sample_size is 3: it must be at least num_envs"):
        espo.train(env, base_sample_size=3)
    assert capsys.readouterr().err == 'espo: settings of preset="paper" for safety_hopper_velocity\n'
    with pytest.raises(ValueError, match="base_sample_size is 3"):
        crpo.train(PointEnv(), base_sample_size=3)
    assert capsys.readouterr().err == 'crpo: settings of preset="paper" for an environment of your own (PointEnv)\n'
    flat = espo._preset("auto", env, env.made_from)
    expected = preset("paper", "safety_hopper_velocity")
    assert expected.pop("cost_limit") == 25.0 == env.cost_limit
    assert flat == expected


def test_an_environment_without_a_name_has_its_own_limit_and_length():
    flat = espo._preset("paper", PointEnv(), {})
    config, values = resolve({**flat}, PointEnv())
    assert values["cost_limit"] == PointEnv.cost_limit
    assert config.episode_length is None, "the environment's own"
    assert config.time_limit == "truncation"
    assert cup._preset("paper", PointEnv(), {})["policy_passes"] == 40


def test_the_signature_lists_every_setting():
    names = set(inspect.signature(espo.train).parameters)
    assert {"environment", "preset", "cost_limit", "num_envs", "checkpoint_minutes", "backend", "env"} <= names
    assert not names & {"settings", "task", "self"}


RECORDED = {**TINY, "num_eval_episodes": 2, "eval_interval": 2, "preset": "none"}


def test_a_run_directory_from_python_is_that_of_the_command_line(tmp_path):
    """Trained, resumed with more iterations, evaluated; the numbers are those of training without files."""
    told, run_dir = [], tmp_path / "run"
    result = espo.train(
        "tests.own_module:make_env", env=["limit=3"], run_dir=run_dir, seed=3,
        progress_fn=lambda steps, metrics: told.append((steps, metrics["eval/episode_cost"])), **RECORDED,
    )  # fmt: skip
    assert len(told) == 3, "after iterations 2 and 4, and at the end"
    assert result.metrics["training/iteration"] == 4
    config = json.loads((run_dir / "config.json").read_text())
    assert (config["task"], config["env"], config["seed"]) == ("tests.own_module:make_env", ["limit=3"], 3)
    alone = espo.train("tests.own_module:make_env", env=["limit=3"], preset="none", seed=3, num_evals=0, **TINY)
    chex.assert_trees_all_equal(result.params, alone.params)

    more = espo.train(resume=run_dir, num_iterations=6, num_eval_episodes=0)
    assert more.metrics["training/iteration"] == 6
    assert evaluate(EvalOptions(run_dir=str(run_dir), episodes=2)) == 0
    for trainer, given, message in (
        (crpo, {}, "algorithm is crpo: the run has espo"),
        (espo, {"seed": 7}, "seed is 7: the run has 3"),
        (espo, {"sample_size_rule": "fixed"}, "sample_size_rule is fixed: the run has gradient_conflict"),
        (espo, {"devices": 1000}, "devices"),
    ):
        with pytest.raises(ValueError, match=message):
            trainer.train(resume=run_dir, **given)


def test_own_rules_are_found_again_by_their_names(tmp_path):
    own = Trainer(own_module.OURS)
    with shared():
        own.train("tests.own_module:make_env", run_dir=tmp_path / "run", sample_size_rule=own_module.half, **RECORDED)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["algorithm"] == "tests.own_module:OURS"
    assert config["config"]["sample_size_rule"] == "tests.own_module:half"
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["sample_size"] for line in lines] == [64, 32, 32, 32]
    assert own.train(resume=tmp_path / "run", num_iterations=5).metrics["training/sample_size"] == 32


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"environment": None}, "environment is not given"),
        ({"run_dir": "x", "resume": "y"}, "run_dir is the folder of a new run: it cannot be given with resume"),
        ({"run_dir": "x"}, "run_dir needs an environment that can be made again, and this PointEnv is an instance"),
        ({"run_dir": "x", "num_evals": 3}, "a run directory has eval_interval"),
        ({"run_dir": "x", "deterministic_eval": False}, "is evaluated by both policies"),
        ({"resume": "x", "num_eval_envs": 2}, "a run directory has eval_interval"),
        ({"resume": "x", "preset": "paper"}, "preset is 'paper': the run has its settings"),
        ({"seed": -1}, "seed is -1"),
        ({"checkpoint_minutes": 3.0}, "checkpoint_minutes is for a run directory: give run_dir too"),
        ({"backend": "spring"}, "backend is for an environment that is given by its name"),
        ({"preset": "papr"}, "unknown preset 'papr'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(given, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        espo.train(**{"environment": PointEnv(), **TINY, **given})
    assert not any(tmp_path.iterdir())


def test_what_ends_a_recorded_run_early_is_raised_when_all_is_saved(tmp_path):
    with pytest.raises(NegativeCostError, match="iteration 1"):
        espo.train("tests.own_module:make_refund", run_dir=tmp_path / "run", **RECORDED)
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "negative_cost"
