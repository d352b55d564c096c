"""Folders of several runs: expanded where that can be, explained where a command needs one run."""

import shutil

import pytest

from espo_jax import cli
from espo_jax.results.expand import is_comparison, require_run, run_directories, runs_in
from tests.made_up import run_dirs
from tests.tiny_runs import DATA, compared

SWEEP = DATA / "sweep_1"


def test_a_comparison_stands_for_its_runs():
    path = compared()[2]
    assert is_comparison(path)
    assert sorted((run.config.options.algorithm, run.config.options.seed) for run in runs_in(path)) == [
        ("espo", 0), ("espo", 1), ("trpo", 0), ("trpo", 1),
    ]  # fmt: skip
    assert [each.name for each in run_directories(path)] == ["espo-seed0", "espo-seed1", "trpo-seed0", "trpo-seed1"]


def test_a_folder_of_runs_and_a_study_stand_for_theirs(tmp_path):
    run_dirs(tmp_path / "many")
    assert len(runs_in(tmp_path / "many")) == 6
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "study.json").write_text("{}")
    shutil.copytree(SWEEP, tmp_path / "study" / "sweep")
    assert len(runs_in(tmp_path / "study")) == len(runs_in(SWEEP))


@pytest.mark.parametrize("command", ["eval", "replay", "report"])
def test_one_line_says_what_to_give(command, tmp_path, capsys):
    run_dirs(tmp_path / "many")
    assert cli.main([command, str(tmp_path / "many")]) == 2
    many = capsys.readouterr().err
    assert f"many is a folder with 6 runs: espo {command} takes one of them: " in many
    assert "run-0.30" in many
    assert cli.main([command, str(SWEEP)]) == 2
    sweep = capsys.readouterr().err
    assert f"sweep_1 is a sweep: espo {command} takes a run directory, which espo export-lane" in sweep
    assert many.count("\n") == sweep.count("\n") == 1


def test_report_of_a_comparison_names_its_runs(capsys):
    assert cli.main(["report", str(compared()[2])]) == 2
    assert "is a comparison with 4 runs: espo report takes one of them: " in capsys.readouterr().err


def test_a_run_is_a_run():
    require_run(compared()[2] / "espo-seed0", "espo report")
