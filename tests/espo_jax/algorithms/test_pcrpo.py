"""PCRPO is ESPO on a fixed number of samples, and CRPO without a band."""

import dataclasses

import chex
import pytest

from espo_jax import modes
from tests.problems import TINY_CONFIG, UPDATE_CONFIG, compiled, hyperparams, pose, update


def test_espo_on_a_fixed_size_is_pcrpo_to_the_bit(key):
    """However much room ESPO's buffer was given."""
    espo = compiled("espo", dataclasses.replace(TINY_CONFIG, sample_size_rule="fixed", max_zeta_positive=0.9))
    pcrpo = compiled("pcrpo")
    hp = hyperparams()
    a, b = espo.init(key, hp), pcrpo.init(key, hp)
    for _ in range(4):
        a, a_metrics = espo.step(a, hp)
        b, b_metrics = pcrpo.step(b, hp)
        chex.assert_trees_all_equal((a, a_metrics), (b, b_metrics))


def test_without_slack_it_is_crpo(key):
    pcrpo, crpo = compiled("pcrpo"), compiled("crpo")
    hp = hyperparams(slack_negative=0.0, slack_positive=0.0)
    a, b = pcrpo.init(key, hp), crpo.init(key, hp)
    seen = set()
    for limit in (8.0, 1e6, 1.0, 20.0, 12.0):
        hp = hp.replace(cost_limit=limit)
        a, a_metrics = pcrpo.step(a, hp)
        b, b_metrics = crpo.step(b, hp)
        chex.assert_trees_all_close(a.policy, b.policy, rtol=1e-6)
        assert int(a_metrics.mode) == int(b_metrics.mode)
        seen.add(int(a_metrics.mode))
    assert seen == {modes.REWARD, modes.COST}


@pytest.mark.parametrize("metric", ["natural", "euclidean", "fisher"])
@pytest.mark.parametrize("cost", [30.0, 40.001, 60.0])
def test_without_slack_its_update_is_that_of_crpo_in_every_metric(x64, metric, cost):
    config = dataclasses.replace(UPDATE_CONFIG, conflict_metric=metric)
    problem = pose(cost, config=config, slack_negative=0.0, slack_positive=0.0)
    ours, theirs = update("pcrpo", problem), update("crpo", problem)
    chex.assert_trees_all_close(ours.step, theirs.step, rtol=1e-9)
    chex.assert_trees_all_equal(ours.active, theirs.active)
