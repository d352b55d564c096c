import math

import chex
import jax
import pytest

from espo_jax.config import Config
from espo_jax.hyperparams import HYPERPARAM_DEFAULTS, Hyperparams


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_envs": 0}, ["num_envs", "0", "positive integer"]),
        ({"num_envs": 2.0}, ["num_envs", "2.0", "positive integer"]),
        ({"num_envs": 7}, ["base_sample_size", "16000", "multiple of num_envs (7)"]),
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


def test_hyperparams_are_strong_float32_arrays_with_every_field():
    created = Hyperparams.create(cost_limit=[40.0, 1.0], slack_negative=-math.inf, num_iterations=3)
    chex.assert_shape([created.cost_limit, created.slack_positive, created.slack_negative], (2,))
    for leaf in jax.tree.leaves(created):
        assert leaf.dtype == "float32"
        assert not leaf.weak_type
    assert set(HYPERPARAM_DEFAULTS) | {"cost_limit"} == set(Hyperparams.__dataclass_fields__)


@pytest.mark.parametrize(
    ("changes", "steps"),
    [({}, (1200, 1200)), ({"max_zeta_positive": 0.1}, (1100, 1100)), ({"num_envs": 64, "block_size": 1600}, (300, 300)),
     ({"num_envs": 2000, "max_zeta_positive": 0.0}, (8, 8)), ({"num_envs": 2000, "block_size": 6000}, (10, 12))],
)  # fmt: skip
def test_capacity_is_the_largest_sample_size_in_whole_blocks(changes, steps):
    config = Config(**changes)
    assert (config.max_steps, config.capacity) == steps
    assert config.capacity % config.steps_per_block == 0
