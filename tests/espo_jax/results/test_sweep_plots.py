"""The picture of a sweep, and its best safe lane."""

import dataclasses
import types

import numpy as np
import pytest
from matplotlib.figure import Figure

from espo_jax import cli
from espo_jax.results import sweep_plots
from espo_jax.results.sweep_plots import by_point, draw, pareto_front
from espo_jax.results.sweep_read import RULE, Sweep, best_text, read_sweep, runs_of
from espo_jax.runs.files import DamagedError
from espo_jax.sweeps.folder import SweepFolder
from tests.tiny_sweeps import limits, swept


def row(cost_limit, zeta, seed, **changes):
    rng = np.random.default_rng([int(cost_limit), seed])
    cost = cost_limit + rng.normal(0, 2)
    return {
        "lane": f"{cost_limit}-{zeta}-{seed}", "cost_limit": cost_limit, "zeta_negative": zeta, "seed": seed,
        "reward": cost_limit**0.5 + zeta + rng.normal(0, 0.2), "cost": cost, "eval_episodes": 25,
        "stochastic_reward": cost_limit**0.5, "stochastic_cost": cost, "stochastic_cost_std": 5.0,
        "env_steps": 700, "fixed_env_steps": 1000, "conflicts_in_balance": None if seed == 0 else 0.4, **changes,
    }  # fmt: skip


def made_up(limits=(5.0, 10.0, 20.0), zetas=(-0.5, -0.3), seeds=3):
    rows = [row(limit, zeta, seed) for limit in limits for zeta in zetas for seed in range(seeds)]
    folder = types.SimpleNamespace(manifest=types.SimpleNamespace(num_constraints=1))
    return Sweep(folder, rows, {"cost_limit": sorted(limits), "zeta_negative": sorted(zetas)})


@pytest.mark.parametrize("kind", ["many", "random"])
def test_many_values_stay_readable(kind, tmp_path, monkeypatch):
    """A colour scale and few ticks; a map of points, and means of neighbours, where values hardly repeat."""
    rng = np.random.default_rng(0)
    limits, zetas = np.geomspace(1, 1000, 40), np.linspace(-0.9, -0.1, 20)
    if kind == "random":
        points = [(limit, zeta) for limit, zeta in zip(limits, rng.uniform(-0.9, 0, 40), strict=True)]
    else:
        points = [(limit, zeta) for limit in limits for zeta in zetas]
    rows = [row(float(limit), float(zeta), 0) for limit, zeta in points]
    axes = {name: sorted({each[name] for each in rows}) for name in ("cost_limit", "zeta_negative")}
    figures = []
    monkeypatch.setattr(sweep_plots, "save", lambda figure, path: figures.append(figure))
    draw(dataclasses.replace(made_up(), rows=rows, axes=axes), tmp_path / "sweep.svg")
    [figure] = figures
    figure.canvas.draw()
    panels = [panel for panel in figure.axes if panel.get_xlabel()]
    assert all(len(panel.get_xticks()) <= 16 and len(panel.get_yticks()) <= 16 for panel in panels)
    texts = [label.get_text() for panel in panels for label in panel.get_xticklabels()]
    assert not any("mathdefault" in text for text in texts)
    assert len(panels[2].containers[0].lines[0].get_xdata()) == 10
    assert bool(panels[-1].images) == (kind == "many")


def test_every_cost_has_its_panels(monkeypatch):
    """Two constraints; a lane with one constraint lacks the second cost."""
    rows = [
        {**each, "cost_1": each["cost"], "cost_2": 2 * each["cost"], "cost_limit_1": 5.0, "cost_limit_2": 7.0}
        for each in made_up().rows
    ]
    rows[0] |= {"cost_2": None, "cost_limit_2": None}
    sweep = dataclasses.replace(made_up(), rows=rows)
    sweep.folder.manifest.num_constraints = 2
    figures = []
    monkeypatch.setattr(sweep_plots, "save", lambda figure, path: figures.append(figure))
    draw(sweep, "sweep.svg")
    panels = np.array([panel for panel in figures[0].axes if panel.get_xlabel()]).reshape(4, 3)
    assert [panel.get_xlabel() for panel in panels[0]][:2] == [
        f"cost {k} of an episode (dashed: limits)" for k in (1, 2)
    ]
    labels = ["reward of an episode", "cost 1 of an episode", "cost 2 of an episode"]
    assert [[panel.get_ylabel() for panel in row] for row in panels[1:3]] == [labels] * 2
    assert [panel.get_title(loc="left") for panel in panels[3]] == ["mean reward", "mean cost 1", "mean cost 2"]
    means = panels[1, 2].containers[0].lines[0].get_ydata()
    assert means[-1] == pytest.approx(np.mean([each["cost_2"] for each in rows if each["cost_limit"] == 20.0]))


def test_the_front_has_what_nothing_beats():
    reward, cost = np.array([1.0, 3.0, 2.0, 3.0, 0.0]), np.array([1.0, 5.0, 2.0, 6.0, 1.5])
    assert pareto_front(reward, cost).tolist() == [0, 2, 1]


def test_seeds_of_a_point_belong_together():
    points = by_point(made_up())
    assert len(points) == 6
    assert {len(rows) for rows in points.values()} == {3}


@pytest.mark.parametrize(("cost", "deviation", "is_safe"), [(9.0, 2.49, True), (9.0, 2.51, False), (9.99, 0.0, True)])
def test_safe_is_the_upper_end_of_the_interval_of_fresh_episodes(cost, deviation, is_safe):
    """9 + 1.96 * 2.5 / sqrt(24) = 10: the deviations are those of the 25 episodes, not an estimate of all."""
    lane = row(10.0, 0.0, 0, stochastic_cost=cost, stochastic_cost_std=deviation)
    assert made_up().is_safe(lane) is is_safe


def test_a_lane_that_was_not_evaluated_is_not_safe():
    assert not made_up().is_safe(row(10.0, 0.0, 0, eval_episodes=None))
    assert not made_up().is_safe(
        row(10.0, 0.0, 0, stochastic_cost=1.0, eval_episodes=1)
    )  # nothing is known of the spread


def test_the_best_is_safe_and_has_the_highest_reward():
    sweep = made_up()
    rows = [
        row(10.0, 0.0, 0, stochastic_cost=20.0, stochastic_reward=9.0),
        row(10.0, 0.0, 1, stochastic_cost=1.0, stochastic_reward=3.0),
        row(10.0, 0.0, 2, stochastic_cost=1.0, stochastic_reward=4.0),
    ]
    sweep = Sweep(sweep.folder, rows, sweep.axes)
    assert sweep.best() is rows[2]
    none = Sweep(sweep.folder, rows[:1], sweep.axes)
    assert none.best() is None
    assert best_text(none) == f"no lane of 1 is safe; {RULE}"


def drawn(monkeypatch, sweep, **options):
    """The figure of a sweep."""
    kept = []
    monkeypatch.setattr(sweep_plots, "save", lambda figure, path: kept.append(figure))
    draw(sweep, "unused", **options)
    [figure] = kept
    assert isinstance(figure, Figure)
    return figure


def test_every_axis_has_a_row_and_two_have_a_map(monkeypatch):
    figure = drawn(monkeypatch, made_up(), title="a title")
    panels = [panel for panel in figure.axes if panel.get_label() != "<colorbar>"]
    assert len(panels) == 8
    assert [panel.get_xlabel() for panel in panels[2:6]] == ["cost_limit"] * 2 + ["zeta_negative"] * 2
    assert [text.get_text() for text in panels[6].get_xticklabels()] == ["5", "10", "20"]
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["5", "10", "20"]


def test_many_numbers_have_a_colour_scale_and_many_names_a_colour_each(monkeypatch):
    many = made_up(limits=tuple(float(limit) for limit in range(1, 13)))
    assert drawn(monkeypatch, many).legends == []
    names = [f"algorithm {n}" for n in range(12)]
    rows = [{**row(5.0, -0.3, n), "algorithm": name} for n, name in enumerate(names)]
    figure = drawn(monkeypatch, Sweep(many.folder, rows, {"algorithm": names}))
    handles = figure.legends[0].legend_handles
    assert len({tuple(handle.get_facecolor()[0]) for handle in handles}) == 12


def test_a_colour_for_what_does_not_vary_is_refused(tmp_path):
    with pytest.raises(ValueError, match="it must be an axis of the sweep: cost_limit, zeta_negative"):
        draw(made_up(), tmp_path / "plot.png", color_by="x")


def test_the_command_draws_a_sweep_and_its_groups(tmp_path, capsys):
    folder, picture = str(swept().path), tmp_path / "plot.png"
    assert cli.main(["plot", folder, "--output", str(picture)]) == 0
    assert picture.stat().st_size > 50_000
    assert "no lane of 4 is safe; a lane is safe if" in capsys.readouterr().out
    assert cli.main(["plot", folder, "--group-by", "cost_limit", "--output", str(tmp_path / "curves.svg")]) == 0
    text = (tmp_path / "curves.svg").read_text()
    assert "<!-- cost_limit 1 (2 runs) -->" in text.replace("cost_limit 1.0", "cost_limit 1")
    assert cli.main(["plot", folder, "--color-by", "seed", "--output", str(picture)]) == 2
    assert cli.main(["sweep", "--best", "--sweep-dir", folder]) == 0
    assert "no lane of 4 is safe" in capsys.readouterr().out
    assert cli.main(["sweep", "--best"]) == 2


def test_lanes_are_runs_to_readers():
    runs = runs_of(read_sweep(swept().path))
    assert [run.config.hyperparams["cost_limit"] for run in runs] == [1.0, 1.0, 4.0, 4.0]
    assert [len(run.records) for run in runs] == [4] * 4
    assert read_sweep(swept().path).axes == {"cost_limit": [1.0, 4.0]}


def test_a_sweep_without_a_finished_lane_is_refused(tmp_path):
    SweepFolder.plan(tmp_path / "sweep", limits(), lanes_per_group=3)
    with pytest.raises(DamagedError, match="has no lane that is finished yet"):
        read_sweep(tmp_path / "sweep")


def test_tasks_are_not_mixed(tmp_path, monkeypatch, capsys):
    """The picture of a whole sweep averages over its axes; rewards of several tasks have no common scale."""
    sweep = read_sweep(swept().path)
    rows = [{**each, "task": f"task{n % 2}"} for n, each in enumerate(sweep.rows)]
    mixed = dataclasses.replace(sweep, rows=rows, axes={"task": ["task0", "task1"], **sweep.axes})
    monkeypatch.setattr("espo_jax.results.sweep_read.read_sweep", lambda path: mixed)
    assert cli.main(["plot", str(swept().path), "--output", str(tmp_path / "x.png")]) == 2
    printed = capsys.readouterr().err
    assert "have different tasks (task0, task1)" in printed
    assert "--group-by task,cost_limit draws each apart" in printed
