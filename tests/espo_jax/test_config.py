import math

import pytest

from espo_jax.config import Config


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_envs": 0}, ["num_envs", "0", "integer in [1, 2^31)"]),
        ({"num_envs": 2.0}, ["num_envs", "2.0", "integer in [1, 2^31)"]),
        ({"num_envs": 16_001}, ["base_sample_size", "16000", "at least num_envs (16001)"]),
        ({"time_limit": "reset"}, ["time_limit", "reset", "truncation, termination"]),
        ({"activation": "gelu"}, ["activation", "gelu", "tanh, relu"]),
        ({"initial_log_std": math.nan}, ["initial_log_std", "nan", "[-20, 20]"]),
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
        ({"num_envs": 64, "rollout_chunk": 251}, ["rollout_chunk", "251", "at most", "250 time steps"]),
    ],
)
def test_config_names_field_value_and_bound(changes, words):
    with pytest.raises(ValueError, match=words[0]) as error:
        Config(**changes)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("changes", "steps"),
    [({}, (19_200, 1200)), ({"max_zeta_positive": 0.1}, (17_600, 1100)), ({"num_envs": 64}, (19_200, 300)),
     ({"num_envs": 2000, "max_zeta_positive": 0.0}, (16_000, 8)),
     ({"num_envs": 2000, "block_size": 6000}, (19_200, 12)),
     ({"num_envs": 7}, (19_200, 2964)), ({"num_envs": 16_000}, (19_200, 2)),
     ({"num_envs": 16_384, "base_sample_size": 16_384, "max_zeta_positive": 0.1}, (18_022, 2)),
     ({"num_envs": 64, "block_size": 32_000, "rollout_chunk": 8}, (19_200, 304)),
     ({"num_envs": 64, "rollout_chunk": 7}, (19_200, 315)),
     ({"num_envs": 1600, "rollout_chunk": 5}, (19_200, 15)),
     ({"sample_size_rule": "fixed"}, (16_000, 1000))],
)  # fmt: skip
def test_capacity_is_the_largest_sample_size_in_whole_blocks(changes, steps):
    config = Config(**changes)
    assert (config.max_sample_size, config.capacity) == steps
    assert config.capacity * config.num_envs >= config.max_sample_size
    assert config.capacity % config.steps_per_block == 0
