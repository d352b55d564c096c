import numpy as np
import pytest
from tabular import samples

from tests.experiments.tabular.test_batch import record_of


def test_samples_until_a_target():
    record = record_of(np.zeros((2, 3, 2)), np.ones((2, 3)))._replace(sample_size=np.array([[5, 7, 9], [1, 1, 1]]))
    reached = np.array([[False, True, False], [False, False, False]])
    np.testing.assert_array_equal(samples.samples_until(record, reached), [12, np.inf])


def rule(until, total):
    until, zeros = [np.array(until)] * len(samples.TARGETS), np.zeros(4)
    return {"until": until, "samples": np.array(total), "error": zeros, "conflicts": zeros}


def test_rules_are_paired_by_cmdp_and_seed():
    ours, fixed = rule([50.0, 200.0, np.inf, 30.0], [8.0] * 4), rule([100.0, 100.0, 9.0, 60.0], [16.0] * 4)
    found = samples.compare(ours, fixed, seeds=2)
    first = found["targets"][0]
    assert first["cmdps"] == 1, "a CMDP counts where every seed reaches the target with both rules"
    assert first["ratio"]["mean"] == pytest.approx(1.0)
    assert first["reached"] == 0.75
    assert found["samples"]["mean"] == pytest.approx(0.5)
