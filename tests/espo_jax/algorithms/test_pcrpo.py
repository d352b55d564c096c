"""PCRPO is ESPO on a fixed number of samples, and CRPO without a band."""

import dataclasses

import chex
import pytest

from espo_jax import modes
from tests.problems import TINY_CONFIG, compiled, hyperparams

pytestmark = pytest.mark.usefixtures("quick_compile")


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


@pytest.mark.parametrize("metric", ["natural", "euclidean", "fisher"])
def test_without_slack_it_is_crpo(metric, key):
    config = dataclasses.replace(TINY_CONFIG, conflict_metric=metric)
    pcrpo, crpo = compiled("pcrpo", config), compiled("crpo", config)
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
