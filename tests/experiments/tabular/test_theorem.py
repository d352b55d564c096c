import numpy as np
import pytest
from tabular import cmdp, theorem


def test_a_power_law_has_its_exponent():
    counts, noise = np.array([10, 100, 1000]), np.array([1.0, 1.2, 0.7, 0.9])
    found = theorem.power(noise * 3 * counts[:, None] ** -0.5, counts)
    assert found["exponent"] == pytest.approx(-0.5)
    assert found["low"] == pytest.approx(-0.5)
    uneven = np.array([noise, noise**2 / 2, noise**3 / 4])
    found = theorem.power(uneven, counts)
    assert found["low"] < found["exponent"] < found["high"]


def test_the_exponent_of_the_largest_value_is_that_of_one_cmdp():
    found = theorem.power([[5.0, 1.0], [5.0, 2.0], [5.0, 4.0]], [1, 2, 4], over=np.max)
    assert found["exponent"] == pytest.approx(0.0)
    assert found["high"] == pytest.approx(1.0), "the resamples that lack the first CMDP"


def test_negative_gaps_count_as_none():
    assert theorem.power([[1.0, -5.0], [0.1, -7.0]], [1, 10])["exponent"] == pytest.approx(-1.0)


@pytest.mark.usefixtures("x64")
def test_the_bound():
    cmdps = cmdp.random_cmdps(0, 1, 2, 3, 0.5)
    np.testing.assert_allclose(theorem.bound(cmdps, 300), np.sqrt(6 / (0.125 * 300)))
    assert theorem.cell(cmdps, cmdp.optima(cmdps), 60)["bound"] == pytest.approx(np.sqrt(6 / (0.125 * 60)))
