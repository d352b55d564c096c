"""The command that makes the page, and the page in the repository."""

import json
import re
import signal
import sys
from pathlib import Path

import numpy as np
import paper
import pytest
from reproduction import cells, figures, page, tables, training, variants
from tabular import verdicts

from espo_jax.modes import MODE_NAMES
from espo_jax.runs.run_config import RunConfig
from espo_jax.runs.signals import Interrupted
from tests.experiments.reproduction.made_up import curve_of

ROOT = Path(__file__).parents[2]


def test_every_table_and_picture_of_a_reduced_manifest(monkeypatch, tmp_path):
    cost = [30.0, 22.0, 12.0, 26.0, 18.0, 17.0]
    found = [curve_of(cost, variant=v, seed=s, idle=s == 0) for v in variants.VARIANTS for s in range(3)]
    folder = tmp_path / "paper"
    monkeypatch.setattr(cells, "read_all", lambda root: found if root == folder else [])
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
    found = cells.read_all(results / "paper")
    assert len(found) == len(list((results / "paper").glob("*/*.parquet")))
    theory = verdicts.all_of(json.loads((results / "theory.json").read_text()))
    text = (results / "paper.md").read_text()
    assert text == page.text(found, theory)
    assert {path.name for path in (results / "img").glob("paper_*.png")} == set(re.findall(r"\(img/(\S+)\)", text))


def test_the_sample_counts_of_the_readme_are_those_of_the_cells():
    found = page.by_variant(cells.read_all(ROOT / "docs" / "results" / "paper"))
    expected = []
    for task, (paper_count, fixed) in tables.PAPER_SAMPLES.items():
        if counts := [run.samples / 1e6 for run in tables.of(found, task, "espo")]:
            name = "Safety" + "".join(map(str.capitalize, task.split("_"))).replace("standup", "Standup")
            seeds = " to ".join(f"{count:.2f}" for count in sorted({min(counts), max(counts)})) + " M"
            expected.append(f"| {name} | {len(counts)} | {seeds} | {paper_count:g} M | {fixed:g} M |")
    rows = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| Safety")]
    assert rows == expected


def test_cells_in_the_repository_have_the_settings_that_their_variants_have_now():
    """So that no cell stays that was trained before a preset changed."""
    found = cells.read_all(ROOT / "docs" / "results" / "paper")
    planned = training.lanes([run.cell for run in found], "mujoco")
    for run in found:
        recorded = RunConfig.parse(run.about["config"], Path(run.cell.name))
        config = planned[run.cell.name].config
        assert recorded.identity() == config.identity(), run.cell.name
        assert run.failure or len(run.values["iteration"]) == config.hyperparams["num_iterations"], run.cell.name


def test_conflicts_of_espo_in_the_repository_are_its_modes_and_its_sizes():
    """Also for the share of the random rule, which must use as many samples as ESPO with the same seeds."""
    for task, share in variants.CONFLICTS.items():
        asked = [cells.Cell(variants.Variant(task, "espo"), seed) for seed in range(variants.SEEDS_BEYOND)]
        runs = cells.read(ROOT / "docs" / "results" / "paper", asked)
        for run in runs:
            np.testing.assert_array_equal(run.conflicts, run.values["mode"] == MODE_NAMES.index("conflict"))
            grown = run.values["sample_size"][1:] >= run.about["config"]["config"]["base_sample_size"]
            np.testing.assert_array_equal(grown, run.conflicts[:-1])
        if len(runs) == variants.SEEDS_BEYOND:
            assert np.mean([100 * np.mean(run.conflicts) for run in runs]) == pytest.approx(share, abs=1.0), task


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("run --table 9", "error: part is 'table 9': it must be one of table 1, "),
        ("run --part x --seeds 0-1", "error: part is 'x'"),
        ("run --tasks reachr", "error: task is 'reachr': it must be one of reacher, "),
        ("run --variant walker", "error: variant is 'walker': it must be one of reacher-espo, "),
        ("run --idle --lanes-per-group 2 --table 1", "error: lanes_per_group is 2: it must be 1 with idle"),
        ("run --lanes-per-group 0 --table 1", "error: lanes_per_group is 0: it must be at least 1"),
        ("run --hours nan --table 1", "error: hours is nan: it must be a number"),
        ("tables --results /no/such/folder", "error: /no/such/folder/paper: there is no such folder of cells"),
        ("figures --results /no/such/folder", "error: /no/such/folder/paper: there is no such folder of cells"),
        *((f"{name} --backend mujco", "error: backend is 'mujco': it must be one of ") for name in paper._COMMANDS),
    ],
)
def test_a_wrong_command_is_one_line(argv, message, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["paper.py", *argv.split()])
    with pytest.raises(SystemExit, match=message):
        paper.main()


def test_run_says_what_is_missing_and_how_an_interrupted_one_goes_on(monkeypatch, capsys, tmp_path):
    def ended(outcome):
        def train(asked, work, _):
            assert [cell.name for cell in asked] == ["reacher-espo/0", "reacher-crpo/0", "reacher-pcrpo/0"]
            assert work.folder == tmp_path / "paper"
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        monkeypatch.setattr(training, "train", train)
        argv = f"paper.py run --table 1 --tasks reacher --seeds 0 --sweep-dir {tmp_path / 'paper'}"
        monkeypatch.setattr(sys, "argv", argv.split())
        return paper.main(), capsys.readouterr().out

    monkeypatch.setattr(paper.compiled_programs, "keep", lambda _: None)
    assert ended([]) == (0, "3 of 3 cells are there\n")
    assert ended(["reacher-espo/0"]) == (1, "2 of 3 cells are there\nmissing or failed: reacher-espo/0\n")
    code, said = ended(Interrupted(signal.SIGTERM))
    assert code == 128 + signal.SIGTERM
    assert "; the same command goes on" in said


def test_the_plan_counts_the_cells_of_every_part(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(paper, "RESULTS", tmp_path)
    assert paper.plan(paper.Plan()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(variants.PARTS)
    assert "table 1: 0 of 60 cells" in lines
