"""The picture of groups of runs: the intervals, modes, limits and colours that it says."""

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_hex

from espo_jax.modes import MODE_NAMES
from espo_jax.results import group_plots, groups
from espo_jax.results.read import read_run
from espo_jax.results.statistics import bootstrap_interval
from espo_jax.runs.colors import ALGORITHM_COLORS
from tests.made_up import made_up, run_dirs


@pytest.fixture
def runs(tmp_path):
    return run_dirs(tmp_path)


def test_lines_are_means_with_bootstrap_bands(runs, monkeypatch):
    drawn = {}

    class Panel:
        def plot(self, x, y, **style):
            drawn[style["linestyle"]] = y

        def fill_between(self, x, low, high, **_):
            drawn["band"] = low, high

    records = [read_run(path).records for path in runs[:4]]
    group_plots._curve(Panel(), records, "episode_cost", "iteration", "k")
    values = groups.align(records, "episode_cost")[1][..., 0]
    np.testing.assert_allclose(drawn["-"], values.mean(axis=0))
    np.testing.assert_allclose(drawn["band"], bootstrap_interval(values))
    np.testing.assert_allclose(drawn["--"], np.sort(values, axis=0)[1:3].mean(axis=0))


def test_several_costs_one_seed_and_infinite_slack(tmp_path):
    several = made_up(np.linspace([90.0, 10.0], [35.0, 38.0], 5), ([-np.inf] * 2, [5.0, 5.0]))
    group_plots.draw({"espo": [several], "trpo": [several[:3]]}, tmp_path / "plot.svg", title="several")
    assert (tmp_path / "plot.svg").stat().st_size > 20_000


def shown(monkeypatch, runs, **options):
    """The figure of a picture."""
    figures = []
    monkeypatch.setattr(group_plots, "save", lambda figure, path: figures.append(figure))
    group_plots.draw(runs, "plot.svg", **options)
    figures[0].canvas.draw()
    return figures[0]


@pytest.mark.parametrize("x", ["iteration", "env_steps"])
def test_modes_are_those_of_the_iterations_a_row_for_each_run(monkeypatch, x):
    """The two runs have the modes 0 1 2 3 0 ... and 1 2 3 0 1 ...; nothing is smoothed or mixed."""
    one, other = (made_up(np.linspace(50, 30, 7), (-4.0, 4.0)) for _ in range(2))
    for line in other:
        line["mode"] = MODE_NAMES[line["iteration"] % 4]
    figure = shown(monkeypatch, {"espo": [one, other]}, x=x)
    rows = [mesh.get_array().ravel().tolist() for mesh in figure.axes[4].collections]
    assert rows == [[0, 1, 2, 3, 0, 1, 2], [1, 2, 3, 0, 1, 2, 3]]
    edges = figure.axes[4].collections[0].get_coordinates()[0, :, 0]
    assert edges.tolist() == [step * (100 if x == "env_steps" else 1) for step in range(8)]
    assert "a row for each run" in figure.axes[4].get_legend().get_title().get_text()


def test_legends_cover_nothing_and_name_limit_and_band(monkeypatch):
    runs = {"espo": [made_up(np.linspace(900, 30, 20), (-4.0, 6.0))] * 2, "crpo": [made_up(np.ones(20), (-4.0, 6.0))]}
    figure = shown(monkeypatch, runs)
    legends = [panel.get_legend() for panel in figure.axes if panel.get_legend()]
    assert len(legends) == 3
    for legend, panel in itertools.product(legends, figure.axes):
        box = legend.get_window_extent()
        assert not box.overlaps(panel.get_window_extent()) or box.y0 >= panel.get_window_extent().y1 - 1
    texts = [[text.get_text() for text in legend.get_texts()] for legend in legends]
    assert texts[0] == ["espo (2 runs)", "crpo (1 run)", "95 % bootstrap interval of the mean"]
    assert texts[1] == ["limit 40", "balance band [36, 46]", "(cost up to 900, above this axis)"]
    assert texts[2] == list(MODE_NAMES)


def test_an_algorithm_has_its_colour(monkeypatch):
    figure = shown(monkeypatch, {"trpo": [made_up(np.ones(5), (-4.0, 4.0))]})
    assert to_hex(figure.axes[0].lines[0].get_color()).lower() == ALGORITHM_COLORS["trpo"].lower()
