"""Presets are the paper's numbers, and flat settings find their place."""

import math

import pytest
import safety_envs

from espo_jax import presets
from espo_jax.config import Config, Hyperparams


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


def test_paper_preset_leaves_nothing_that_decides_the_result_to_the_defaults():
    """Left to the defaults: the blocks' and the buffer's size, and Adam's settings, which L-BFGS does not use."""
    known = set(presets._CONFIG_FIELDS) | set(presets._HYPERPARAM_FIELDS)
    free = {"block_size", "max_zeta_positive", "critic_passes", "critic_minibatch_size", "critic_max_gradient_norm"}
    assert set(presets.preset("paper", "safety_reacher")) == known - free - {"critic_learning_rate"}


@pytest.mark.parametrize(("name", "task"), [(name, task) for name, tasks in presets.PRESETS.items() for task in tasks])
def test_every_preset_is_valid(name, task):
    assert task in safety_envs.task_names()
    config, values = presets.resolve(presets.preset(name, task), env=None)
    Hyperparams.create(**values, config=config)


def test_a_preset_handed_out_is_a_copy():
    presets.preset("paper", "safety_reacher")["zeta_positive"] = 9.0
    assert presets.preset("paper", "safety_reacher")["zeta_positive"] == 0.1
    assert presets.preset("none", "anything") == {}


@pytest.mark.parametrize(
    ("name", "task", "message"),
    [
        ("papr", "safety_reacher", "unknown preset 'papr'; known presets: paper, none"),
        ("paper", "chess", "preset 'paper' has no settings for task 'chess', only for safety_reacher"),
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
