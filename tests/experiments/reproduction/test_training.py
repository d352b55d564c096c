"""Cells are trained once and kept, also after a kill, on an idle machine, and when they fail."""

import functools
import json
import math
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from reproduction import cells, page, training, variants

from espo_jax.runs.files import DamagedError
from tests.probe_envs import TINY, PointEnv
from tests.tiny_runs import Quiet


@pytest.fixture(scope="module")
def two():
    """Two cells of one program."""
    variant = variants.Variant("walker2d", "espo")
    return [variants.Cell(variant, seed) for seed in (0, 1)]


def train(asked, folder, env=PointEnv, num_iterations=TINY["num_iterations"], **options):
    work = training.Work(folder / "paper", folder / "sweep", **options)
    console = Quiet()
    small = {**TINY, "num_eval_episodes": 2, "preset": "none", "slack_positive": 9.0, "slack_negative": -9.0}
    small["num_iterations"] = num_iterations
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


def test_a_cell_has_the_iterations_of_its_variant_whatever_the_folder_recorded(two, tmp_path):
    train(two[:1], tmp_path, num_iterations=1, hours=-1.0)  # only planned
    assert train(two[:1], tmp_path, num_iterations=2)[0] == []
    assert cells.read(tmp_path / "paper", two[:1])[0].values["iteration"].tolist() == [1, 2]


def test_a_cell_that_was_not_kept_before_a_kill_is_kept_without_training(two, trained, tmp_path):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    lost = cells.path_of(tmp_path / "paper", two[1])
    lost.unlink()
    missing, lines = train(two, tmp_path)
    assert missing == []
    assert not any("compil" in line or "iteration" in line for line in lines), lines
    assert cells.read(tmp_path / "paper", two)[1].values.keys() == cells.read(trained / "paper", two)[1].values.keys()


def test_cells_of_one_program_are_trained_together(two, trained, tmp_path):
    missing, lines = train(two, tmp_path, lanes_per_group=2)
    assert missing == []
    assert "walker2d-espo/0, walker2d-espo/1" in lines
    together, alone = (cells.read(folder / "paper", two) for folder in (tmp_path, trained))
    for run, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(run.values["iteration"], other.values["iteration"])
        np.testing.assert_allclose(run.values["episode_reward"][0], other.values["episode_reward"][0], rtol=1e-4)
    cells.path_of(tmp_path / "paper", two[1]).unlink()
    assert train(two, tmp_path, lanes_per_group=2)[0] == []
    assert len(cells.read_all(tmp_path / "paper")) == 2


def test_a_cell_whose_metrics_are_lost_is_refused(two, trained, tmp_path):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    cells.path_of(tmp_path / "paper", two[1]).unlink()
    for path in (tmp_path / "sweep").rglob("metrics*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(DamagedError, match="has no metrics"):
        train(two, tmp_path)


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
    path.with_name("old.parquet").write_bytes(whole)
    with pytest.raises(DamagedError, match=r"old\.parquet is no cell: its name must be a seed"):
        cells.read_all(tmp_path)


def rewritten(path, *, about=None, **columns):
    """Change what a cell says of itself, or some of its columns."""
    table = pyarrow.parquet.read_table(path)
    said = json.loads(table.schema.metadata[b"about"]) if about is None else about
    for name, values in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values))
    pyarrow.parquet.write_table(table.replace_schema_metadata({b"about": json.dumps(said)}), path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"about": [1]}, "cannot be read: TypeError"),
        ({"about": {"variant": "walker2d-espo", "seed": 0}}, "cannot be read: KeyError: 'config'"),
        ({"episode_cost": ["x"] * TINY["num_iterations"]}, "cannot be read: TypeError"),
        ({"episode_reward": [math.nan] * TINY["num_iterations"]}, "has a value in episode_reward that is not finite"),
        ({"sample_size": [None] * TINY["num_iterations"]}, "cannot be read: TypeError"),
    ],
)
def test_a_cell_that_contradicts_itself_is_refused_with_its_path(change, says, two, trained, tmp_path):
    path = cells.path_of(tmp_path, two[0])
    path.parent.mkdir()
    shutil.copy(cells.path_of(trained / "paper", two[0]), path)
    rewritten(path, **change)
    with pytest.raises(DamagedError, match=rf"0\.parquet {says}"):
        cells.read_all(tmp_path)


def test_a_finished_cell_has_all_its_iterations_and_a_known_variant(two, trained, tmp_path):
    path = cells.path_of(tmp_path, two[0])
    path.parent.mkdir()
    table = pyarrow.parquet.read_table(cells.path_of(trained / "paper", two[0]))
    pyarrow.parquet.write_table(table.slice(0, 1), path)
    with pytest.raises(DamagedError, match=r"0\.parquet has 1 iterations: its finished run has"):
        cells.read_all(tmp_path)
    path.parent.rename(tmp_path / "walker2d-foo")
    with pytest.raises(DamagedError, match="walker2d-foo is the folder of no variant"):
        cells.read_all(tmp_path)


def test_seeds_that_the_page_does_not_ask_for_are_read_too(two, trained, tmp_path):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    more = [variants.Cell(two[0].variant, 12)]
    assert train(more, tmp_path)[0] == []
    found = cells.read_all(tmp_path / "paper")
    assert [run.cell.name for run in found] == [cell.name for cell in (*two, *more)]
    assert "| walker2d-espo | 3 of 5 |" in page.text(found, [])


def test_the_page_and_its_pictures_are_made_of_what_is_there(two, trained, tmp_path):
    found = cells.read(trained / "paper", two)
    text = page.text(found, [("rate", "holds", "-0.5")])
    assert "| rate | -0.5 | holds |" in text
    assert "| walker2d | espo | 2 |" in text
    assert "not decided (0 yes, 0 no of 0, 12 not made)" in text
    (picture,) = page.draw(found, tmp_path)
    assert picture.name == "paper_walker2d.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert f"img/{picture.name}" in text
