"""Where lanes lie in the arrays of a program that may have room for more, and may be spread over devices."""

import numpy as np
import pytest

from espo_jax.sweeps.program import Places


@pytest.mark.parametrize(("count", "size", "devices"), [(5, 5, 1), (3, 8, 1), (9, 16, 8), (8, 8, 8), (1, 4, 4)])
def test_lanes_come_back_in_their_order(count, size, devices):
    places = Places.of(count, size, devices)
    lanes = np.arange(100, 100 + count)
    spread = places.spread({"x": lanes})["x"]
    assert spread.shape == (size,)
    np.testing.assert_array_equal(places.gather({"x": spread})["x"], lanes)
    assert set(spread) <= set(lanes)


def test_devices_get_lanes_in_turn():
    """Nine lanes on eight devices with two places each: one device has two lanes, no device has none."""
    places = Places.of(9, 16, 8)
    assert np.bincount(places.place // 2, minlength=8).tolist() == [2] + [1] * 7


def test_one_device_has_lanes_in_their_order():
    assert Places.of(4, 6, 1).lane.tolist() == [0, 1, 2, 3, 0, 0]
