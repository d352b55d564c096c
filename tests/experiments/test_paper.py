"""The reproduction of the paper: cells are trained once and kept, and the page says what they say."""

import dataclasses
import json
import math
import sys
from pathlib import Path

import jax
import numpy as np
import paper
import pytest
from reproduction import cells, claims, estimates, page, random_sizes, tables, training, variants
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


def train(asked, folder, **options):
    work = training.Work(folder / "cells", folder / "sweep", **options)
    console = Quiet()
    small = {**TINY, "num_eval_episodes": 2, "preset": "none", "slack_positive": 9.0, "slack_negative": -9.0}
    missing = training.train(asked, work, console, lambda *_: PointEnv(), **small)
    return missing, console.lines


@pytest.fixture(scope="module")
def trained(two, tmp_path_factory):
    folder = tmp_path_factory.mktemp("paper")
    missing, _ = train(two[:1], folder)
    assert missing == 0
    missing, lines = train(two, folder)  # a wider request goes on in the same folder
    assert missing == 0
    assert "walker2d-espo/1" in lines
    assert "walker2d-espo/0" not in lines
    return folder


def test_a_cell_is_what_its_run_was(two, trained):
    first, second = cells.read(trained / "cells", two)
    count = TINY["num_iterations"]
    assert first.values["iteration"].tolist() == list(range(1, count + 1))
    assert first.samples == first.values["sample_size"].sum()
    assert sum(first.counts().values()) == count
    assert first.about["row"]["seed"] == 0
    assert second.about["row"]["seed"] == 1
    assert math.isfinite(first.about["row"]["stochastic_reward"])
    assert first.about["config"]["algorithm"] == "espo"
    assert not first.about["idle"]
    assert (np.diff(first.seconds) > 0).all()


def test_nothing_is_trained_twice_and_none_is_begun_after_the_time(two, trained, tmp_path):
    missing, lines = train(two, trained)
    assert (missing, lines) == (0, [])
    missing, lines = train(two, tmp_path, hours=-1.0)
    assert (missing, lines) == (2, [])


def test_a_damaged_or_renamed_cell_is_refused(two, trained, tmp_path):
    path, other = (cells.path_of(tmp_path, cell) for cell in two)
    path.parent.mkdir()
    whole = cells.path_of(trained / "cells", two[0]).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedError, match=r"0\.parquet cannot be read"):
        cells.read(tmp_path, two[:1])
    other.write_bytes(whole)
    with pytest.raises(DamagedError, match="has the cell walker2d-espo/0"):
        cells.read(tmp_path, two[1:])


def test_the_page_and_its_pictures_are_made_of_what_is_there(two, trained, tmp_path):
    curves = page.by_variant(cells.read(trained / "cells", two))
    text = page.text(curves, [("rate", "holds", "-0.5")])
    assert "| theory, rate | -0.5 | holds |" in text
    assert "| walker2d | espo | 2 |" in text
    assert "not decided (0 of 12 comparisons are made)" in text
    (picture,) = page.draw(curves, tmp_path)
    assert picture.name == "paper_walker2d.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert f"img/{picture.name}" in text


def test_the_page_in_the_repository_is_that_of_its_cells():
    results = ROOT / "docs" / "results"
    found = cells.read(results / "paper", page.every_cell())
    assert len(found) == len(list((results / "paper").glob("*/*.parquet")))
    theory = verdicts.all_of(json.loads((results / "theory.json").read_text()))
    assert (results / "paper.md").read_text() == page.text(page.by_variant(found), theory)


def test_every_variant_is_a_lane_of_its_own_with_the_settings_of_the_paper():
    names = [variant.name for variant in variants.VARIANTS]
    assert len(set(names)) == len(names)
    asked = [variants.Cell(variant, 0) for variant in variants.VARIANTS]
    lanes = training.lanes(asked, "mujoco")
    assert len({lane.hash for lane in lanes.values()}) == len(names)
    assert {lane.config.hyperparams["num_iterations"] for lane in lanes.values()} == {500}
    assert lanes["walker2d-espo-cost_limit=30.0/0"].config.hyperparams["cost_limit"] == 30.0
    assert lanes["walker2d-crpo/0"].config.config["sample_size_rule"] == "fixed"
    assert lanes["walker2d-espo/0"].config.config["time_limit"] == "termination"


def test_cells_are_asked_for_by_part_and_the_first_seeds_come_first():
    asked = variants.chosen(["table 1"], None)
    assert [cell.seed for cell in asked] == sorted(cell.seed for cell in asked)
    assert len(asked) == 3 * (10 + 5 + 5)
    assert len(variants.chosen(["table 2"], [7, 8])) == 2 * 4 * 2
    with pytest.raises(ValueError, match="part is 'table 9': it must be one of table 1"):
        variants.chosen(["table 9"], None)


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
        return claims.verdict([claims.Comparison("", made, answer, "") for answer in answers])

    assert verdict(1, 1) == "holds (2 yes, 0 no of 2)"
    assert verdict(1, 0, -1) == "holds in part (1 yes, 1 no of 3)"
    assert verdict(0, -1) == "does not hold (0 yes, 1 no of 2)"
    assert verdict(1, 1, made=False).startswith("not decided (0 of 2")


def curve_of(cost, *, seed=0, algorithm="espo", sizes=None, reward=None, warmup=0, slack=(-5.0, 5.0)):
    """A made-up cell with a limit of 20."""
    count = len(cost)
    sizes = np.full(count, 100) if sizes is None else np.asarray(sizes)
    values = {
        "iteration": np.arange(1, count + 1), "env_steps": np.cumsum(sizes), "sample_size": sizes,
        "mode": np.full(count, MODE_NAMES.index("conflict")), "episode_cost": np.asarray(cost, np.float32),
        "episode_reward": np.arange(count, dtype=np.float32) if reward is None else np.asarray(reward),
        "cost_limit": np.full(count, 20.0), "slack_negative": np.full(count, slack[0]),
        "slack_positive": np.full(count, slack[1]), "steps_per_second": np.full(count, 50.0),
    }  # fmt: skip
    about = {"idle": True, "row": {}, "config": {"hyperparams": {"warmup_iterations": warmup}}}
    variant = variants.Variant("walker2d", algorithm)
    return cells.Curve(variants.Cell(variant, seed), about, values)


def test_crossings_are_counted_after_the_warm_up_and_not_of_an_edge_at_infinity():
    curve = curve_of([0, 30, 30, 18, 12, 22, 26], warmup=1, slack=(-5.0, math.inf))
    assert tables.crossings(curve) == {"b": 2, "b + h-": 2, "b + h+": 0}


def test_differences_are_by_seed():
    ours = [curve_of([10.0] * 30, seed=s, sizes=[50 + s] * 30) for s in (0, 1, 2, 5)]
    theirs = [curve_of([25.0] * 30, seed=s, algorithm="crpo") for s in (2, 1, 0)]
    fewer = estimates.percent_less(ours, theirs, lambda curve: curve.samples)
    assert fewer.count == 3
    assert fewer.value == pytest.approx(49.0)
    above = estimates.difference(ours, theirs, tables.above)
    assert (above.value, above.sign) == (-100.0, -1)


def test_claims_compare_the_side_that_they_are_about():
    ours = [curve_of([10.0] * 30, seed=s, sizes=[74] * 30, reward=np.full(30, 9.0 + s)) for s in range(3)]
    theirs = [curve_of([25.0] * 30, seed=s, algorithm="crpo", reward=np.full(30, 5.0 + s)) for s in range(3)]
    curves = {"walker2d-espo": ours, "walker2d-crpo": theirs}
    for compare in claims.CLAIMS.values():
        made = [each for each in compare(curves) if each.made]
        assert [each.answer for each in made] == [1], compare.__name__
    swapped = {"walker2d-espo": theirs, "walker2d-crpo": ours}
    for compare in claims.CLAIMS.values():
        made = [each for each in compare(swapped) if each.made]
        assert [each.answer for each in made] == [-1], compare.__name__


def test_at_equal_samples_the_longer_run_counts_only_up_to_there():
    ours = [curve_of([10.0] * 50, sizes=[50] * 50)]
    theirs = [curve_of([25.0] * 50, algorithm="crpo")]
    text = tables.equal_samples({"walker2d-espo": ours, "walker2d-crpo": theirs})
    ours_at, theirs_at = np.mean(range(30, 50)), np.mean(range(5, 25))  # means of 20 iterations
    assert f"| {ours_at - theirs_at:.1f} | -15.0 |" in text


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("run --table 9", "error: part is 'table 9': it must be one of table 1, "),
        ("run --part x --seeds 0-1", "error: part is 'x'"),
        ("tables --results /no/such/folder", "error: .*No such file or directory"),
    ],
)
def test_a_wrong_command_is_one_line(argv, message, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["paper.py", *argv.split()])
    with pytest.raises(SystemExit, match=message):
        paper.main()


def test_samples_over_all_tasks_are_those_of_every_run_with_this_rival():
    curves = {}
    for task, size in (("walker2d", 50), ("reacher", 80)):
        for algorithm, of in (("espo", size), ("crpo", 100)):
            variant = variants.Variant(task, algorithm)
            made = [curve_of([10.0] * 30, seed=seed, sizes=[of] * 30) for seed in (0, 1)]
            curves[variant.name] = [dataclasses.replace(c, cell=variants.Cell(variant, c.cell.seed)) for c in made]
    assert tables.all_together(curves).splitlines()[2:] == ["| crpo | 4 | 35.0 [35.0, 35.0] |"]
