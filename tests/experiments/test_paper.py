"""The reproduction of the paper: cells are trained once and kept, and the page says what they say."""

import dataclasses
import functools
import json
import math
import re
import shutil
import sys
from pathlib import Path

import jax
import numpy as np
import paper
import pytest
from reproduction import cells, claims, estimates, figures, page, random_sizes, tables, training, variants
from tabular import verdicts

from espo_jax.modes import MODE_NAMES
from espo_jax.runs.files import DamagedError
from tests.probe_envs import TINY, PointEnv
from tests.tiny_runs import Quiet

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def two():
    """Two cells of one program."""
    variant = variants.Variant("walker2d", "espo")
    return [variants.Cell(variant, seed) for seed in (0, 1)]


def train(asked, folder, env=PointEnv, **options):
    work = training.Work(folder / "paper", folder / "sweep", **options)
    console = Quiet()
    small = {**TINY, "num_eval_episodes": 2, "preset": "none", "slack_positive": 9.0, "slack_negative": -9.0}
    missing = training.train(asked, work, console, lambda *_: env(), **small)
    return missing, console.lines


@pytest.fixture(scope="module")
def trained(two, tmp_path_factory):
    folder = tmp_path_factory.mktemp("paper")
    missing, _ = train(two[:1], folder)
    assert missing == []
    missing, lines = train(two, folder)  # a wider request goes on in the same folder
    assert missing == []
    assert "walker2d-espo/1" in lines
    assert "walker2d-espo/0" not in lines
    return folder


def test_a_cell_is_what_its_run_was(two, trained):
    first, second = cells.read(trained / "paper", two)
    count = TINY["num_iterations"]
    assert first.values["iteration"].tolist() == list(range(1, count + 1))
    assert first.samples == first.values["sample_size"].sum()
    assert sum(first.counts().values()) == count
    assert first.about["row"]["seed"] == 0
    assert second.about["row"]["seed"] == 1
    assert math.isfinite(first.about["row"]["stochastic_reward"])
    assert first.about["config"]["algorithm"] == "espo"
    assert not first.idle
    assert first.failure is None
    assert (np.diff(first.seconds) > 0).all()


def test_nothing_is_trained_twice_and_none_is_begun_after_the_time(two, trained, tmp_path):
    assert train(two, trained) == ([], [])
    assert train(two, tmp_path, hours=-1.0) == (["walker2d-espo/0", "walker2d-espo/1"], [])


def test_a_cell_that_was_not_kept_before_a_kill_is_kept_without_training(two, trained, tmp_path):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    lost = cells.path_of(tmp_path / "paper", two[1])
    lost.unlink()
    missing, lines = train(two, tmp_path)
    assert missing == []
    assert not any("compil" in line or "iteration" in line for line in lines), lines
    assert cells.read(tmp_path / "paper", two)[1].values.keys() == cells.read(trained / "paper", two)[1].values.keys()


def test_a_cell_of_a_busy_machine_is_trained_again_when_the_machine_is_idle(two, trained, tmp_path):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    missing, lines = train(two[:1], tmp_path, idle=True)
    assert missing == []
    assert "walker2d-espo/0" in lines
    busy, (again,) = cells.read(trained / "paper", two[:1])[0], cells.read(tmp_path / "paper", two[:1])
    assert (busy.idle, again.idle) == (False, True)
    np.testing.assert_array_equal(again.values["episode_reward"], busy.values["episode_reward"])
    assert train(two[:1], tmp_path, idle=True) == ([], [])
    with pytest.raises(ValueError, match="lanes_per_group is 2: it must be 1 with idle"):
        train(two, tmp_path, idle=True, lanes_per_group=2)


def test_a_run_that_fails_is_kept_and_named_and_not_counted(two, tmp_path):
    failing = functools.partial(PointEnv, nan_reward_after=5)
    missing, _ = train(two[:1], tmp_path, env=failing)
    assert missing == ["walker2d-espo/0"]
    (run,) = cells.read(tmp_path / "paper", two[:1])
    assert run.failure.startswith("nonfinite: ")
    text = page.text([run], [])
    assert "- walker2d-espo/0 failed after " in text
    assert "| walker2d | espo |" not in text
    assert train(two[:1], tmp_path, env=failing) == (["walker2d-espo/0"], [])


def test_a_damaged_or_renamed_cell_is_refused(two, trained, tmp_path):
    path, other = (cells.path_of(tmp_path, cell) for cell in two)
    path.parent.mkdir()
    whole = cells.path_of(trained / "paper", two[0]).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedError, match=r"0\.parquet cannot be read"):
        cells.read(tmp_path, two[:1])
    other.write_bytes(whole)
    with pytest.raises(DamagedError, match="has the cell walker2d-espo/0"):
        cells.read(tmp_path, two[1:])


def test_the_page_and_its_pictures_are_made_of_what_is_there(two, trained, tmp_path):
    found = cells.read(trained / "paper", two)
    text = page.text(found, [("rate", "holds", "-0.5")])
    assert "| rate | -0.5 | holds |" in text
    assert "| walker2d | espo | 2 |" in text
    assert "not decided (0 of 12 comparisons are made)" in text
    (picture,) = page.draw(found, tmp_path)
    assert picture.name == "paper_walker2d.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert f"img/{picture.name}" in text


def test_every_table_and_picture_of_a_reduced_manifest(monkeypatch, tmp_path):
    cost = [30.0, 22.0, 12.0, 26.0, 18.0, 17.0]
    found = [curve_of(cost, variant=v, seed=s, idle=s == 0) for v in variants.VARIANTS for s in range(3)]
    folder = tmp_path / "paper"
    monkeypatch.setattr(cells, "read", lambda root, _: found if root == folder else [])
    monkeypatch.setattr(figures, "_POINTS", 8)  # faster
    assert paper.tables(paper.Tables(results=tmp_path)) == 0
    (tmp_path / "img").mkdir()
    assert paper.figures(paper.Figures(results=tmp_path)) == 0
    text = (tmp_path / "paper.md").read_text()
    assert "No cell is finished yet" not in text
    for title in variants.VARIANTS:
        assert f"| {title.name} | 3 of " in text
    images = set(re.findall(r"\(img/(\S+)\)", text))
    assert images == {path.name for path in (tmp_path / "img").iterdir()}
    sections = ("walker2d_figure_4", "walker2d_rules", "hopper_velocity_carries_over", "ant_velocity_time_limit")
    assert {f"paper_{name}.png" for name in (*sections, "walker2d_conflict", "reacher_band")} <= images
    assert "(img/paper_mjx_walker2d.png)" in page.text(found, [], "mjx", "paper_mjx")


def test_the_page_in_the_repository_is_that_of_its_cells():
    results = ROOT / "docs" / "results"
    found = cells.read(results / "paper", page.every_cell())
    assert len(found) == len(list((results / "paper").glob("*/*.parquet")))
    theory = verdicts.all_of(json.loads((results / "theory.json").read_text()))
    text = (results / "paper.md").read_text()
    assert text == page.text(found, theory)
    assert {path.name for path in (results / "img").glob("paper_*.png")} == set(re.findall(r"\(img/(\S+)\)", text))


def test_every_variant_is_a_lane_of_its_own_with_the_settings_of_the_paper():
    names = [variant.name for variant in variants.VARIANTS]
    assert len(set(names)) == len(names)
    asked = [variants.Cell(variant, 0) for variant in variants.VARIANTS]
    lanes = training.lanes(asked, "mujoco")
    assert len({lane.hash for lane in lanes.values()}) == len(names)
    configs = [lane.config for lane in lanes.values()]
    fixed = {config.hyperparams["num_iterations"] * config.config["base_sample_size"] for config in configs}
    assert fixed == {8_000_000, 10_000_000}  # 500 iterations of X, or twice as many of X/2
    assert lanes["walker2d-espo-cost_limit=30.0/0"].config.hyperparams["cost_limit"] == 30.0
    assert lanes["walker2d-crpo/0"].config.config["sample_size_rule"] == "fixed"
    assert lanes["walker2d-espo/0"].config.config["time_limit"] == "termination"


def test_cells_are_asked_for_by_part_and_the_first_seeds_come_first():
    asked = variants.chosen(["table 1"])
    assert [cell.seed for cell in asked] == sorted(cell.seed for cell in asked)
    assert len(asked) == 3 * (10 + 5 + 5)
    assert len(variants.chosen(["table 2"], [7, 8])) == 2 * 4 * 2
    assert variants.chosen(["figure 2"]) == variants.chosen(["figure 5"]) == variants.chosen(["curves"])
    assert {cell.variant.task for cell in variants.chosen(["table 2"], tasks=["ant_velocity"])} == {"ant_velocity"}
    with pytest.raises(ValueError, match="part is 'table 9': it must be one of table 1"):
        variants.chosen(["table 9"])
    with pytest.raises(ValueError, match="task is 'ant': it must be one of reacher"):
        variants.chosen(tasks=["ant"])


def test_random_sizes_come_as_often_as_their_name_says():
    rule = random_sizes.random_27

    def size(key):
        return rule.size(evidence(key=key, base=1000, zeta_positive=0.5, zeta_negative=-0.5))

    sizes = np.asarray(jax.vmap(size)(jax.random.split(jax.random.key(0), 10_000)))
    assert set(sizes.tolist()) == {500.0, 1500.0}
    assert np.mean(sizes == 1500.0) == pytest.approx(0.27, abs=0.015)
    with pytest.raises(AttributeError, match="random_many"):
        _ = random_sizes.random_many


def evidence(**given):
    return dataclasses.make_dataclass("Evidence", list(given))(**given)


def test_a_verdict_follows_from_the_comparisons():
    def verdict(*answers, made=True):
        return claims.verdict([claims.Comparison("", made, answer, estimates.estimate([])) for answer in answers])

    assert verdict(1, 1) == "holds (2 yes, 0 no of 2)"
    assert verdict(1, 0, -1) == "holds in part (1 yes, 1 no of 3)"
    assert verdict(0, -1) == "does not hold (0 yes, 1 no of 2)"
    assert verdict(1, -1, -1) == "does not hold (1 yes, 2 no of 3)"
    assert verdict(0, 0) == "not decided (0 yes, 0 no of 2)"
    assert verdict(1, 1, made=False).startswith("not decided (0 of 2")


def curve_of(
    cost, *, seed=0, algorithm="espo", variant=None, sizes=None, reward=None, warmup=0, slack=(-5.0, 5.0), **given
):
    """A made-up cell with a limit of 20."""
    count = len(cost)
    sizes = np.full(count, 100) if sizes is None else np.asarray(sizes)
    values = {
        "iteration": np.arange(1, count + 1), "env_steps": np.cumsum(sizes), "sample_size": sizes,
        "mode": np.full(count, MODE_NAMES.index("conflict")), "episode_cost": np.asarray(cost, np.float32),
        "episode_reward": np.arange(count, dtype=np.float32) if reward is None else np.asarray(reward),
        "cost_limit": np.full(count, 20.0), "slack_negative": np.full(count, slack[0]),
        "slack_positive": np.full(count, slack[1]), "steps_per_second": np.full(count, 50.0),
        "conflict_angle": np.full(count, 100.0),
    }  # fmt: skip
    values |= {name: np.asarray(value) for name, value in given.items() if name in values}
    about = {
        "idle": given.get("idle", True), "row": {"status": "finished"},
        "config": {"hyperparams": {"warmup_iterations": warmup}},
    }  # fmt: skip
    return cells.Curve(cells.Cell(variant or variants.Variant("walker2d", algorithm), seed), about, values)


def test_conflicts_are_those_that_the_rule_would_see():
    curve = curve_of([18, 18, 14, 15, 25, 26], warmup=1, conflict_angle=[100, 100, 100, 91, 89, 100])
    assert curve.conflicts.tolist() == [False, True, False, True, False, False]


def test_conflicts_of_espo_in_the_repository_are_its_modes_and_its_sizes():
    """Also for the share of the random rule, which must use as many samples as ESPO."""
    for task, share in variants.CONFLICTS.items():
        asked = [cells.Cell(variants.Variant(task, "espo"), seed) for seed in range(variants.SEEDS[task])]
        runs = cells.read(ROOT / "docs" / "results" / "paper", asked)
        for run in runs:
            np.testing.assert_array_equal(run.conflicts, run.values["mode"] == MODE_NAMES.index("conflict"))
            grown = run.values["sample_size"][1:] >= run.about["config"]["config"]["base_sample_size"]
            np.testing.assert_array_equal(grown, run.conflicts[:-1])
        if len(runs) >= variants.SEEDS_BEYOND:
            assert np.mean([100 * np.mean(run.conflicts) for run in runs]) == pytest.approx(share, abs=1.0), task


def test_hours_leave_out_when_the_process_was_stopped():
    rate = np.full(30, 100.0)
    rate[7] = 0.01
    curve = curve_of([10.0] * 30, steps_per_second=rate)
    assert curve.seconds[-1] == pytest.approx(29 + 10_000)
    assert curve.hours * 3600 == pytest.approx(29)


def test_crossings_are_counted_after_the_warm_up_and_not_of_an_edge_at_infinity():
    curve = curve_of([0, 30, 30, 18, 12, 22, 26], warmup=1, slack=(-5.0, math.inf))
    assert tables.crossings(curve) == {"b": 2, "b + h-": 2, "b + h+": None}
    rival = curve_of([0, 30, 30, 18, 12, 22, 26], warmup=1, algorithm="crpo")
    assert tables.crossings(rival) == {"b": 2, "b + h-": None, "b + h+": None}


def test_differences_are_by_seed():
    ours = [curve_of([10.0] * 30, seed=s, sizes=[50 + s] * 30) for s in (0, 1, 2, 5)]
    theirs = [curve_of([25.0] * 30, seed=s, algorithm="crpo") for s in (2, 1, 0)]
    fewer = estimates.percents_less(ours, theirs, lambda curve: curve.samples)
    assert fewer == pytest.approx([50.0, 49.0, 48.0])
    assert estimates.differences(ours, theirs, tables.above) == [-100.0] * 3


def test_the_side_of_a_number_is_decided_by_three_values_at_least_and_their_spread():
    assert estimates.side([1.0, 1.1]) == 0
    assert estimates.side([1.0, 1.1, 1.2]) == 1
    assert estimates.side([1.0, 1.1, 1.2], least=2.0) == -1
    assert estimates.side([0.1, 1.0, 2.0]) == 0  # all above 0, but not clearly
    assert estimates.side([0.0, 0.0, 0.0]) == 0


def test_all_tasks_count_alike_in_a_mean_over_tasks():
    found = estimates.mean_over_tasks([[29.0] * 10, [20.0] * 5, [], [36.0] * 5])
    assert found.value == pytest.approx((29 + 20 + 36) / 3)
    assert (found.low, found.high, found.count) == (found.value, found.value, 20)
    spread = estimates.mean_over_tasks([[0.0, 10.0], [5.0] * 4])
    assert (spread.low, spread.value, spread.high) == (2.5, 5.0, 7.5)


def test_claims_compare_the_side_that_they_are_about():
    ours = [curve_of([10.0] * 30, seed=s, sizes=[74] * 30, reward=np.full(30, 9.0 + s)) for s in range(3)]
    theirs = [curve_of([25.0] * 30, seed=s, algorithm="crpo", reward=np.full(30, 5.0 + s)) for s in range(3)]
    curves = {"walker2d-espo": ours, "walker2d-crpo": theirs}
    for claim in claims.CLAIMS:
        made = [each for each in claim.compare(curves) if each.made]
        assert [each.answer for each in made] == [1], claim.words
    swapped = {"walker2d-espo": theirs, "walker2d-crpo": ours}
    for claim in claims.CLAIMS:
        made = [each for each in claim.compare(swapped) if each.made]
        assert [each.answer for each in made] == [-1], claim.words


def test_at_equal_samples_the_longer_run_counts_only_up_to_there():
    ours = [curve_of([10.0] * 50, sizes=[50] * 50)]
    theirs = [curve_of([25.0] * 50, algorithm="crpo")]
    ours_at, theirs_at = np.mean(range(30, 50)), np.mean(range(5, 25))  # means of 20 iterations
    found = tables.at_equal_samples(ours, theirs, "episode_reward")
    assert found == pytest.approx([ours_at - theirs_at])
    assert tables.at_equal_samples(theirs, ours, "episode_reward") == pytest.approx([theirs_at - ours_at])
    assert tables.at_equal_samples(ours, theirs, "episode_cost") == [-15.0]


def test_iterations_in_each_mode_stand_beside_those_of_the_paper():
    modes = [MODE_NAMES.index(name) for name in ("reward", "cost", "cost", "aligned", "conflict", "conflict")]
    variant = variants.Variant("humanoidstandup", "espo")
    text = tables.mode_counts({variant.name: [curve_of([10.0] * 6, variant=variant, mode=modes)]})
    assert text.splitlines()[2:] == [
        "| espo | 1 | 1 | 3 | 2 | 2 | 66.7 |",
        "| espo, the paper |  | 298 | 199 | 137 | 3 | 99.4 |",
    ]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("run --table 9", "error: part is 'table 9': it must be one of table 1, "),
        ("run --part x --seeds 0-1", "error: part is 'x'"),
        ("run --tasks reachr", "error: task is 'reachr': it must be one of reacher, "),
        ("run --idle --lanes-per-group 2 --table 1", "error: lanes_per_group is 2: it must be 1 with idle"),
        ("tables --results /no/such/folder", "error: .*No such file or directory"),
    ],
)
def test_a_wrong_command_is_one_line(argv, message, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["paper.py", *argv.split()])
    with pytest.raises(SystemExit, match=message):
        paper.main()


def test_samples_over_all_tasks():
    curves = {}
    for task, size in (("walker2d", 50), ("reacher", 80)):
        for algorithm, of in (("espo", size), ("crpo", 100)):
            variant = variants.Variant(task, algorithm)
            curves[variant.name] = [curve_of([10.0] * 30, variant=variant, seed=s, sizes=[of] * 30) for s in (0, 1)]
    assert tables.all_together(curves).splitlines()[2:] == [
        "| Table 1 | 2 of 3 | 35.0 [35.0, 35.0] | 29.2 |",
        "| both | 2 of 5 | 35.0 [35.0, 35.0] | 27.7 |",
    ]
