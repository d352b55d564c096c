"""The pictures of the page."""

import pytest
from reproduction import figures, sections, variants

from tests.experiments.reproduction.made_up import curve_of


def test_all_variants_of_a_picture_can_be_told_apart():
    for part in ("figure 4", "rules", "carries over", "time limit", "conflict"):
        for task in variants.TASKS:
            shown = [variant.title for variant in sections.shown(part) if variant.task == task]
            styles = figures.styles_of(shown)
            assert len({(tuple(style["color"]), style["linestyle"]) for style in styles}) == len(shown)
            for algorithm in ("espo", "pcrpo", "cup"):
                own = [
                    s["linestyle"] for s, name in zip(styles, shown, strict=True) if name.split(", ")[0] == algorithm
                ]
                assert len(set(own)) == len(own), (part, task)


def test_groups_of_different_algorithms_are_solid():
    assert {style["linestyle"] for style in figures.styles_of(["espo", "crpo", "pcrpo"])} == {"-"}


@pytest.fixture
def drawn(monkeypatch):
    """The figures that would have been saved."""
    found = []
    monkeypatch.setattr(figures, "save", lambda figure, path: found.append(figure))
    return found


def test_minutes_are_shown_where_every_line_has_a_run_that_was_timed(drawn, tmp_path):
    for idle in (True, False):
        groups = {"espo": [curve_of([30.0, 22.0])], "crpo": [curve_of([30.0, 22.0], algorithm="crpo", idle=idle)]}
        figures.curves(groups, tmp_path / "a.png", "")
    labels = [[axes.get_ylabel() for axes in figure.axes] for figure in drawn]
    assert [each.count("minutes") for each in labels] == [2, 0]


def test_one_row_shows_how_far_the_late_cost_is_from_the_limit(drawn, tmp_path):
    figures.curves({"espo": [curve_of([90.0] * 20 + [20.0] * 400)]}, tmp_path / "a.png", "")
    panel = next(axes for axes in drawn[0].axes if axes.get_ylabel() == "cost above\nthe limit")
    low, high = panel.get_ylim()
    assert -2 < low < 0 < high < 2
    assert panel.lines[0].get_ydata()[0] == 70


@pytest.mark.parametrize(("part", "task"), [("rules", "walker2d"), ("carries over", "hopper_velocity")])
def test_the_whole_legend_is_in_the_picture(part, task, drawn, tmp_path):
    shown = [variant for variant in sections.shown(part) if variant.task == task]
    groups = {v.title: [curve_of([30.0, 22.0, 12.0], variant=v)] for v in shown}
    figures.curves(groups, tmp_path / "a.png", "")
    (figure,) = drawn
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert len(legend.get_texts()) == len(groups)
    edges, inside = legend.get_window_extent(), figure.bbox
    assert inside.x0 <= edges.x0
    assert edges.x1 <= inside.x1
