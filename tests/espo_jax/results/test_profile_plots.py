"""Performance profiles and distributions of costs: what is drawn is what was measured."""

import numpy as np
import pytest

from espo_jax.results import profile_plots
from tests.made_up import run_of


@pytest.fixture
def figures(monkeypatch):
    found = []
    monkeypatch.setattr(profile_plots, "save", lambda figure, path: found.append(figure))
    return found


def test_curves_are_the_shares(figures):
    """Mean rewards 1 to 4; the costs of the episodes are 3, 3.5, 4.5 and 5 in each run, and the limit is 4."""
    groups = {"espo": [run_of(float(k), 4.0, seed=k) for k in range(1, 5)], "trpo": [run_of(9.0, 2.0)]}
    assert profile_plots.draw(groups, "x.png", title="point")
    [figure] = figures
    assert [panel.get_title(loc="left") for panel in figure.axes[:2]] == ["stochastic policy", "deterministic policy"]
    tau, share = figure.axes[0].lines[0].get_data()
    assert np.all(np.diff(share) <= 0)
    for threshold, expected in ((0.9, 1.0), (1.5, 0.75), (2.5, 0.5), (8.0, 0.0)):
        assert np.interp(threshold, tau, share) == pytest.approx(expected, abs=1e-6)
    deviation, share = figure.axes[2].lines[0].get_data()
    for threshold, expected in ((-0.5, 0.0), (-0.2, 0.25), (0.0, 0.5), (0.2, 0.75)):
        assert np.interp(threshold, deviation, share) == pytest.approx(expected, abs=1e-6)


def test_nothing_is_drawn_without_episodes_or_of_a_limit_of_0(figures):
    assert not profile_plots.draw({}, "x.png")
    assert not profile_plots.draw({"espo": [run_of()._replace(episodes={})]}, "x.png")
    assert not profile_plots.draw({"espo": [run_of(limit=0.0)]}, "x.png")
    assert not figures
