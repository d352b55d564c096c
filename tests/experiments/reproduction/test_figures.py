"""The pictures of the page."""

import pytest
from reproduction import figures, page, variants

from tests.experiments.reproduction.made_up import curve_of


def test_all_variants_of_a_picture_can_be_told_apart():
    for part in ("figure 4", "rules", "carries over", "time limit", "conflict"):
        for task in variants.TASKS:
            shown = [variant.title for variant in page.shown(part) if variant.task == task]
            styles = figures.styles_of(shown)
            assert len({(tuple(style["color"]), style["linestyle"]) for style in styles}) == len(shown)
            for algorithm in ("espo", "pcrpo", "cup"):
                own = [
                    s["linestyle"] for s, name in zip(styles, shown, strict=True) if name.split(", ")[0] == algorithm
                ]
                assert len(set(own)) == len(own), (part, task)


def test_groups_of_different_algorithms_are_solid():
    assert {style["linestyle"] for style in figures.styles_of(["espo", "crpo", "pcrpo"])} == {"-"}


@pytest.mark.parametrize(("part", "task"), [("rules", "walker2d"), ("carries over", "hopper_velocity")])
def test_the_whole_legend_is_in_the_picture(part, task, monkeypatch, tmp_path):
    found = []
    monkeypatch.setattr(figures, "save", lambda figure, path: found.append(figure))
    shown = [variant for variant in page.shown(part) if variant.task == task]
    groups = {v.title: [curve_of([30.0, 22.0, 12.0], variant=v)] for v in shown}
    figures.curves(groups, tmp_path / "a.png", "")
    (figure,) = found
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert len(legend.get_texts()) == len(groups)
    edges, inside = legend.get_window_extent(), figure.bbox
    assert inside.x0 <= edges.x0
    assert edges.x1 <= inside.x1
