"""Presets are the paper's numbers, and flat settings find their place."""

import math

import pytest
import safety_envs

from espo_jax import algorithms, presets
from espo_jax.config import Config
from espo_jax.hyperparams import Hyperparams


def test_paper_preset_of_reacher_is_tables_4_to_6():
    published = {
        "zeta_positive": 0.1,
        "zeta_negative": -0.3,
        "cost_limit": 40.0,
        "slack_positive": 0.0,
        "slack_negative": -math.inf,
        "base_sample_size": 16_000,
        "num_iterations": 500,
        "episode_length": 1000,
        "discount": 0.995,
        "cost_discount": 0.995,
        "gae_lambda": 0.97,
        "cost_gae_lambda": 0.97,
        "critic_l2": 1e-3,
        "target_kl": 0.05,
        "cg_damping": 0.1,
        "accept_ratio": 0.1,
        "policy_hidden_sizes": (64, 64),
        "critic_hidden_sizes": (64, 64),
        "cg_iterations": 10,
        "line_search_steps": 10,
        "critic_optimizer": "lbfgs",
        "lbfgs_iterations": 25,
        "normalize_observations": True,
        "observation_clip": 5.0,
        "warmup_iterations": 40,
    }
    preset = presets.preset("paper", "safety_reacher")
    assert {name: preset[name] for name in published} == published


# What only some algorithms use.
FIRST_ORDER = {
    "policy_passes", "policy_minibatch_size", "policy_max_gradient_norm", "policy_learning_rate",
    "anneal_policy_learning_rate", "clip_ratio", "multiplier_optimizer", "multiplier_init",
    "multiplier_learning_rate", "multiplier_max",
}  # fmt: skip
OTHERS = {"cagrad_radius", "cost_tolerance", "variance_tolerance"}


@pytest.mark.parametrize("algorithm", algorithms.RULES)
def test_paper_preset_leaves_nothing_that_decides_the_result_to_the_defaults(algorithm):
    """Left to the defaults: the blocks' and the buffer's size, and Adam's settings, which L-BFGS does not use."""
    known = set(presets._CONFIG_FIELDS) | set(presets._HYPERPARAM_FIELDS)
    free = {
        "block_size",
        "reset_pool_size",
        "rollout_chunk",
        "max_zeta_positive",
        "critic_passes",
        "critic_minibatch_size",
        "critic_max_gradient_norm",
    }
    own = FIRST_ORDER if algorithm in ("cup", "ppo_lagrangian") else set()
    own = own | ({"cost_tolerance"} if algorithm == "crpo" else set())
    expected = known - free - {"critic_learning_rate"} - FIRST_ORDER - OTHERS | own
    assert set(presets.preset("paper", "safety_reacher", algorithm)) == expected


def test_only_espo_manipulates_the_sample_size():
    rules = {a: presets.preset("paper", "safety_reacher", a)["sample_size_rule"] for a in algorithms.RULES}
    assert rules == {a: "gradient_conflict" if a == "espo" else "fixed" for a in algorithms.RULES}


@pytest.mark.parametrize(
    ("algorithm", "target_kl", "multiplier_max"), [("ppo_lagrangian", 0.02, math.inf), ("cup", 0.01, 2.0)]
)
def test_first_order_columns_are_table_7_and_omnisafe_where_it_is_silent(algorithm, target_kl, multiplier_max):
    published = {
        "target_kl": target_kl,
        "multiplier_max": multiplier_max,
        "anneal_policy_learning_rate": True,
        "multiplier_optimizer": "adam",
        "cost_advantages": "center",
        "policy_passes": 40,
        "policy_minibatch_size": 64,
        "policy_learning_rate": 3e-4,
        "clip_ratio": 0.2,
        "multiplier_init": 0.001,
        "multiplier_learning_rate": 0.035,
        "critic_learning_rate": 3e-4,
    }
    preset = presets.preset("paper", "safety_hopper_velocity", algorithm)
    assert {name: preset[name] for name in published} == published


@pytest.mark.parametrize("task", safety_envs.task_names())
def test_every_preset_is_valid_and_decides_everything(task):
    preset = presets.preset("paper", task)
    config, values = presets.resolve(preset, env=None)
    Hyperparams.create(**values, config=config)
    assert config.max_sample_size >= config.base_sample_size
    assert config.time_limit == ("truncation" if task.endswith("_velocity") else "termination")
    assert (values["warmup_iterations"] == 0) == task.endswith("_velocity")
    needed = {"num_iterations", "cost_limit", "zeta_positive", "slack_negative", "critic_optimizer", "target_kl"}
    assert needed <= set(preset)


@pytest.mark.parametrize(
    ("task", "row"),
    [
        ("safety_reacher", (0.1, -0.3, 40.0, 0.0, -math.inf)),
        ("safety_walker2d", (0.0, -0.5, 40.0, math.inf, 0.0)),
        ("safety_humanoidstandup", (0.0, -0.5, 1400.0, 300.0, 0.0)),
        ("safety_hopper_velocity", (0.1, -0.4, 25.0, 9.0, -9.0)),
        ("safety_ant_velocity", (0.1, -0.4, 0.5, 0.25, -0.25)),
    ],
)
def test_paper_presets_are_tables_5_and_6(task, row):
    names = ("zeta_positive", "zeta_negative", "cost_limit", "slack_positive", "slack_negative")
    preset = presets.preset("paper", task)
    assert tuple(preset[name] for name in names) == row


def test_paper_preset_of_the_velocity_tasks_is_table_7():
    published = {
        "base_sample_size": 20_000,
        "num_iterations": 500,
        "target_kl": 0.01,
        "discount": 0.99,
        "cost_discount": 0.99,
        "gae_lambda": 0.95,
        "cost_gae_lambda": 0.95,
        "cg_damping": 0.1,
        "cg_iterations": 15,
        "policy_hidden_sizes": (64, 64),
        "critic_hidden_sizes": (64, 64),
        "critic_optimizer": "adam",
        "critic_learning_rate": 1e-3,
        "critic_passes": 10,
        "critic_minibatch_size": 128,
        "critic_l2": 1e-3,
        "critic_max_gradient_norm": 40.0,
        "normalize_observations": True,
        "standardize_advantages": True,
    }
    preset = presets.preset("paper", "safety_hopper_velocity")
    assert {name: preset[name] for name in published} == published


def test_tasks_that_the_paper_leaves_out_have_a_slack_in_proportion_to_the_limit():
    preset = presets.preset("paper", "safety_ant")
    assert preset["slack_positive"] == -preset["slack_negative"] == 72.0
    assert preset["cost_limit"] == 200.0


def test_a_preset_handed_out_is_a_copy():
    presets.preset("paper", "safety_reacher")["zeta_positive"] = 9.0
    assert presets.preset("paper", "safety_reacher")["zeta_positive"] == 0.1
    assert presets.preset("none", "anything") == {}


@pytest.mark.parametrize(
    ("name", "task", "message"),
    [
        ("papr", "safety_reacher", "unknown preset 'papr'; known presets: paper, none"),
        ("paper", "chess", "unknown task 'chess'; known tasks: safety_ant, "),
    ],
)
def test_unknown_preset_names_the_known(name, task, message):
    with pytest.raises(ValueError, match=message):
        presets.preset(name, task)


def test_split_finds_the_owner_of_every_field():
    assert presets.split({"num_envs": 4, "discount": 0.9}) == ({"num_envs": 4}, {"discount": 0.9})
    with pytest.raises(ValueError, match=r"unknown setting 'num_env'; did you mean 'num_envs'\?"):
        presets.split({"num_env": 4})


def test_resolve_gives_the_buffer_no_more_room_than_needed():
    config, values = presets.resolve({"zeta_positive": 0.4, "cost_limit": 1.0, "episode_length": None}, env=None)
    assert config == Config(max_zeta_positive=0.4)
    assert values["discount"] == 0.995
    with pytest.raises(ValueError, match="has no cost_limit of its own; give cost_limit"):
        presets.resolve({}, env=None)
