import numpy as np
import pytest
from tabular import algorithm, cmdp
from tabular.batch import outputs, run_all, running_output


def record_of(value, weight):
    shape = np.shape(weight)
    filler = np.zeros(shape)
    return algorithm.Record(np.asarray(value, float), filler.astype(int), np.asarray(weight, float), filler, filler)


def test_the_output_is_the_weighted_mean():
    value = [[[9.0, 9.0], [1.0, 2.0], [3.0, 4.0]]]
    found = running_output(record_of(value, [[0.0, 1.0, 3.0]]), np.array([4.0]), np.array([3.0]))
    np.testing.assert_allclose(found.gap, [[np.inf, 3.0, 1.5]])
    np.testing.assert_allclose(found.violation, [[np.inf, -1.0, 0.5]])
    np.testing.assert_allclose(found.share, [[0.0, 0.5, 4 / 3]])
    np.testing.assert_allclose(found.error, [[np.inf, 3.0, 1.5]])


@pytest.mark.usefixtures("x64")
def test_outputs_are_those_of_the_records():
    cmdps = cmdp.random_cmdps(0, 2, 2, 2, 0.7)
    settings, best = algorithm.of_theorem(cmdps, 50), cmdp.optima(cmdps)
    last = running_output(run_all(cmdps, settings, num_iterations=50), best, cmdps.limit)
    found = outputs(cmdps, settings, best, 50)
    for field in found._fields:
        np.testing.assert_allclose(getattr(found, field), getattr(last, field)[:, -1], rtol=1e-9)
