import math

import chex
import jax
import numpy as np
import pytest

from espo_jax.config import Config
from espo_jax.hyperparams import Hyperparams
from espo_jax.settings import MISSING, settings_of


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
        ({"cost_limit": ()}, ["cost_limit", "has 0 values"]),
        ({"cost_limit": -40.0}, ["cost_limit", "-40", "[0, inf)"]),
        ({"cost_limit": [40.0, math.nan]}, ["cost_limit", "nan"]),
        ({"discount": 1.01}, ["discount", "1.01", "[0, 1]"]),
        ({"cost_gae_lambda": -0.1}, ["cost_gae_lambda", "-0.1", "[0, 1]"]),
        ({"target_kl": 0.0}, ["target_kl", "0", "(0, inf)"]),
        ({"num_iterations": 0}, ["num_iterations", "0", "[1, inf)"]),
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
    declared = settings_of(Hyperparams)
    assert set(declared) == set(Hyperparams.__dataclass_fields__)
    assert [name for name, d in declared.items() if d.default is MISSING] == ["cost_limit"]


def test_stacked_runs_are_those_of_create():
    runs = [{"cost_limit": [1.0, 2.0], "slack_negative": -math.inf}, {"cost_limit": [3.0, 4.0], "target_kl": 0.1}]
    stacked = Hyperparams.stack(runs)
    for row, run in enumerate(runs):
        for name, value in vars(Hyperparams.create(**run)).items():
            of_run = getattr(stacked, name)[row]
            np.testing.assert_array_equal(of_run, value)
            assert of_run.dtype == np.float32
    with pytest.raises(ValueError, match="target_kl is -1: it must lie in"):
        Hyperparams.stack([runs[0], {"cost_limit": 1.0, "target_kl": -1.0}])
