"""The picture of a run is drawn whatever the slacks, and its cost axis shows the limit."""

import math

import numpy as np
import pytest

from espo_jax.runs import curves
from tests.made_up import made_up


@pytest.mark.parametrize("slacks", [(-math.inf, 0.0), ("-inf", "inf"), (-9.0, 9.0)])
@pytest.mark.parametrize("num_iterations", [1, 50])
def test_picture_is_drawn(tmp_path, slacks, num_iterations):
    path = tmp_path / "curves.png"
    curves.draw(made_up(np.geomspace(4000, 30, num_iterations), slacks), path, base_sample_size=100)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 20_000


def test_several_constraints_and_nan_are_drawn(tmp_path):
    records = made_up(np.linspace([90.0, 10.0], [35.0, 38.0], 5), ([-5.0, -5.0], [5.0, 5.0]))
    records[2] |= {"episode_reward": None, "conflict_angle": math.nan}
    curves.draw(records, tmp_path / "curves.svg", base_sample_size=100)
    assert (tmp_path / "curves.svg").stat().st_size > 20_000
    with pytest.raises(ValueError, match="no iterations"):
        curves.draw([], tmp_path / "empty.png", base_sample_size=100)


@pytest.mark.parametrize(
    ("cost", "lowest", "highest"),
    [
        (np.linspace(60, 30, 20), 60, 70),  # everything fits
        (np.geomspace(4000, 30, 20), 90, 500),  # the early cost is cut off
        (np.full(20, 900.0), 900, 1100),  # never near the limit: all of it
        (np.zeros(20), 40, 50),
    ],
)
def test_cost_axis_shows_the_limit_and_the_later_cost(cost, lowest, highest):
    assert lowest <= curves.cost_top(cost[:, None], np.array([[40.0]])) <= highest
