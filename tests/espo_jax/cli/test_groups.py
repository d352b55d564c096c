"""The groups of `--help`: every setting is in one, and what an algorithm leaves out has no effect on it."""

import dataclasses

import jax
import numpy as np
import pytest

from espo_jax import algorithms
from espo_jax.cli.flags import flags_of
from espo_jax.cli.groups import GROUPS, unused
from espo_jax.cli.train import command
from espo_jax.config import Config
from espo_jax.hyperparams import Hyperparams
from espo_jax.presets import preset, resolve
from espo_jax.runs.options import RunOptions
from espo_jax.settings import settings_of
from tests.probe_envs import TINY, TugOfWar
from tests.slow_cases import slow_but


def test_every_setting_of_a_training_is_in_one_group():
    names = [name for group in GROUPS.values() for name in group]
    declared = {name for cls in (RunOptions, Hyperparams, Config) for name in settings_of(cls)}
    assert sorted(names) == sorted(declared | {"resume"})


@pytest.mark.parametrize("algorithm", slow_but(["espo", "cup"], algorithms.RULES))
def test_what_the_help_leaves_out_has_no_effect(algorithm):
    """Two iterations are the same to the bit with other values of all settings that the algorithm does not use."""
    changes = {
        "policy_passes": 3, "policy_minibatch_size": 8, "policy_max_gradient_norm": 0.1, "policy_learning_rate": 0.1,
        "anneal_policy_learning_rate": True, "clip_ratio": 0.01, "multiplier_init": 2.0,
        "multiplier_learning_rate": 0.5, "multiplier_max": 3.0, "multiplier_optimizer": "sgd", "cg_iterations": 1,
        "cg_damping": 3.0, "fisher_stride": 2, "line_search_steps": 1,
        "accept_ratio": 0.9, "kl_margin": 1.0, "reward_weight": 0.9, "cagrad_radius": 0.1,
        "cost_tolerance": 1000.0,
    }  # fmt: skip
    assert set(unused(algorithm)) <= set(changes) | {"conflict_resolution"}
    small = {**TINY, "policy_passes": 2, "policy_minibatch_size": 16, "cost_limit": 4.0, "warmup_iterations": 0}
    other = {name: value for name, value in changes.items() if name in unused(algorithm)}

    def two_iterations(further):
        env = TugOfWar()
        config, values = resolve({**preset("paper", None, algorithm), **small, **further}, env)
        made, hyperparams = algorithms.make(algorithm, env, config), Hyperparams.create(**values, config=config)
        state = jax.jit(made.init)(jax.random.key(0), hyperparams)
        step = jax.jit(made.step)
        state, _ = step(state, hyperparams)
        state, metrics = step(state, hyperparams)
        return np.asarray(state.policy), np.asarray(metrics.episode_cost)

    before, after = two_iterations({}), two_iterations(other)
    np.testing.assert_array_equal(before[0], after[0])
    np.testing.assert_array_equal(before[1], after[1])


def test_the_help_of_an_algorithm_shows_what_it_uses(capsys):
    with pytest.raises(SystemExit):
        command(["--algorithm", "ppo_lagrangian", "--help"])
    text = capsys.readouterr().out
    assert "--clip-ratio" in text
    assert "--cg-iterations" not in text
    assert "constraints options" in text
    assert "one for each of the K constraints, or one for all" in " ".join(text.replace("│", " ").split())


def test_hidden_flags_are_still_flags():
    names = {field.name for field in dataclasses.fields(flags_of(RunOptions, Hyperparams, Config))}
    assert set(unused("espo")) <= names
