import math

import chex
import jax
import numpy as np
import pytest

from espo_jax.config import Config
from espo_jax.hyperparams import HYPERPARAM_DEFAULTS, Hyperparams


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_envs": 0}, ["num_envs", "0", "positive integer"]),
        ({"num_envs": 2.0}, ["num_envs", "2.0", "positive integer"]),
        ({"num_envs": 16_001}, ["base_sample_size", "16000", "at least num_envs (16001)"]),
        ({"time_limit": "reset"}, ["time_limit", "reset", "truncation, termination"]),
        ({"activation": "gelu"}, ["activation", "gelu", "tanh, relu"]),
        ({"cost_advantages": "none"}, ["cost_advantages", "none", "standardize, center"]),
        ({"multiplier_optimizer": "rmsprop"}, ["multiplier_optimizer", "rmsprop", "sgd, adam"]),
        ({"conflict_resolution": "typo"}, ["conflict_resolution", "typo", "projection, weighted, min_norm, cagrad"]),
        ({"max_zeta_positive": -0.1}, ["max_zeta_positive", "-0.1"]),
        ({"max_zeta_positive": math.nan}, ["max_zeta_positive", "nan"]),
        ({"conflict_metric": "cosine"}, ["conflict_metric", "cosine", "natural, euclidean, fisher"]),
        ({"sample_size_rule": "none"}, ["sample_size_rule", "none", "fixed, gradient_conflict"]),
        ({"critic_optimizer": "sgd"}, ["critic_optimizer", "sgd", "lbfgs, adam"]),
        ({"policy_hidden_sizes": (64, 0)}, ["policy_hidden_sizes", "(64, 0)"]),
        ({"episode_length": 0}, ["episode_length", "0"]),
    ],
)
def test_config_names_field_value_and_bound(changes, words):
    with pytest.raises(ValueError, match=words[0]) as error:
        Config(**changes)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"zeta_negative": -1.0}, ["zeta_negative", "-1", "(-1, 0]"]),
        ({"zeta_negative": 0.1}, ["zeta_negative", "0.1", "(-1, 0]"]),
        ({"zeta_positive": -0.1}, ["zeta_positive", "-0.1", "[0, inf)"]),
        ({"zeta_positive": 0.3}, ["zeta_positive", "0.3", "max_zeta_positive (0.2)"]),
        ({"slack_negative": 1.0}, ["slack_negative", "1", "[-inf, 0]"]),
        ({"slack_positive": -1.0}, ["slack_positive", "-1", "[0, inf]"]),
        ({"slack_positive": [1.0, 2.0]}, ["slack_positive", "2 values"]),
        ({"cost_limit": ()}, ["cost_limit", "no values"]),
        ({"cost_limit": -40.0}, ["cost_limit", "-40", "[0, inf)"]),
        ({"cost_limit": [40.0, math.nan]}, ["cost_limit", "nan"]),
        ({"discount": 1.01}, ["discount", "1.01", "[0, 1]"]),
        ({"cost_gae_lambda": -0.1}, ["cost_gae_lambda", "-0.1", "[0, 1]"]),
        ({"target_kl": 0.0}, ["target_kl", "0", "(0, inf)"]),
        ({"num_iterations": 0}, ["num_iterations", "0"]),
    ],
)
def test_hyperparams_name_field_value_and_bound(changes, words):
    with pytest.raises(ValueError, match=words[0]) as error:
        Hyperparams.create(**{"cost_limit": 40.0, **changes}, config=Config())
    for word in words:
        assert word in str(error.value)


def test_unknown_hyperparameter():
    with pytest.raises(TypeError, match="cost_limits"):
        Hyperparams.create(cost_limit=1.0, cost_limits=2.0)


def test_without_a_config_the_capacity_is_that_of_the_default_one():
    with pytest.raises(ValueError, match=r"zeta_positive is 0.5: it must be at most max_zeta_positive \(0.2\)"):
        Hyperparams.create(cost_limit=1.0, zeta_positive=0.5)
    Hyperparams.create(cost_limit=1.0, zeta_positive=0.5, config=Config(max_zeta_positive=0.5))


def test_the_default_band_is_10_percent_of_each_limit():
    created = Hyperparams.create(cost_limit=[40.0, 1.0])
    chex.assert_trees_all_close(created.slack_positive, np.array([4.0, 0.1], np.float32))
    chex.assert_trees_all_close(created.slack_negative, np.array([-4.0, -0.1], np.float32))
    swept = jax.vmap(lambda b: Hyperparams.create(cost_limit=b))(np.array([10.0, 20.0]))
    chex.assert_trees_all_close(swept.slack_positive, np.array([[1.0], [2.0]], np.float32))
    given = Hyperparams.create(cost_limit=40.0, slack_positive=0.0)
    assert (float(given.slack_positive[0]), float(given.slack_negative[0])) == (0.0, -4.0)


def test_hyperparams_are_strong_float32_arrays_with_every_field():
    created = Hyperparams.create(cost_limit=[40.0, 1.0], slack_negative=-math.inf, num_iterations=3)
    chex.assert_shape([created.cost_limit, created.slack_positive, created.slack_negative], (2,))
    for leaf in jax.tree.leaves(created):
        assert leaf.dtype == "float32"
        assert not leaf.weak_type
    assert set(HYPERPARAM_DEFAULTS) | {"cost_limit"} == set(Hyperparams.__dataclass_fields__)


@pytest.mark.parametrize(
    ("changes", "steps"),
    [({}, (19_200, 1200)), ({"max_zeta_positive": 0.1}, (17_600, 1100)), ({"num_envs": 64}, (19_200, 300)),
     ({"num_envs": 2000, "max_zeta_positive": 0.0}, (16_000, 8)),
     ({"num_envs": 2000, "block_size": 6000}, (19_200, 12)),
     ({"num_envs": 7}, (19_200, 2964)), ({"num_envs": 16_000}, (19_200, 2)),
     ({"num_envs": 16_384, "base_sample_size": 16_384, "max_zeta_positive": 0.1}, (18_022, 2)),
     ({"sample_size_rule": "fixed"}, (16_000, 1000))],
)  # fmt: skip
def test_capacity_is_the_largest_sample_size_in_whole_blocks(changes, steps):
    config = Config(**changes)
    assert (config.max_sample_size, config.capacity) == steps
    assert config.capacity * config.num_envs >= config.max_sample_size
    assert config.capacity % config.steps_per_block == 0
