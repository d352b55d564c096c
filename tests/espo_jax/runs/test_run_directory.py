"""The run directory: never overwritten, made as a whole, noticed when it goes, strict JSON, no pickle."""

import math
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from espo_jax.runs import run_directory
from espo_jax.runs.run_directory import RunDirectory
from tests.tiny_runs import strict_loads


def test_existing_directory_is_refused_and_untouched(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("precious")
    with pytest.raises(FileExistsError, match="already exists and is never overwritten; choose another with --run-dir"):
        RunDirectory.create(tmp_path, {})
    assert (tmp_path / "metrics.jsonl").read_text() == "precious"


def test_unwritable_directory_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write to run directory .*file/run \(Not a directory\); choose another"):
        RunDirectory.create(tmp_path / "file" / "run", {})


def test_infinities_survive_json_and_nan_becomes_null(tmp_path):
    directory = RunDirectory.create(tmp_path / "deep" / "run", {})
    directory.append({"slack_negative": -math.inf, "list": [math.inf, 1.0], "nan": np.float32("nan"), "n": np.int32(3)})
    line = strict_loads((directory.path / "metrics.jsonl").read_text())
    assert line == {"slack_negative": "-inf", "list": ["inf", 1.0], "nan": None, "n": 3}
    assert float(line["slack_negative"]) == -math.inf


def test_default_path_names_the_run():
    path = run_directory.default_path("safety_reacher", "espo", 3)
    assert path.parent.name == "runs"
    assert path.name.startswith("safety_reacher-espo-seed3-2")


def test_an_empty_folder_is_refused_too(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(FileExistsError):
        RunDirectory.create(tmp_path / "mine", {})
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine"]


def test_a_default_name_that_is_taken_gets_a_number(tmp_path):
    made = [run_directory.create_numbered(tmp_path / "run", {"number": number}) for number in range(3)]
    assert [directory.path.name for directory in made] == ["run", "run-2", "run-3"]
    for directory in made:
        directory.close()


@pytest.mark.parametrize("place", ["a\\b", "a\\b/run"])
def test_a_backslash_is_refused(tmp_path, place):
    """To TensorStore it is a separator: the checkpoints would lie in another folder."""
    for make in (lambda path: RunDirectory.create(path, {}), RunDirectory.open):
        with pytest.raises(ValueError, match="has a backslash"):
            make(tmp_path / place)
    assert list(tmp_path.iterdir()) == []


CREATE = """
import sys
from espo_jax.runs import files, run_directory
number, plain = int(sys.argv[2]), {}
def counted(name, function):
    def call(*args, **options):
        global number
        number -= 1
        if number == 0:
            import os, signal
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **options)
    return call
from pathlib import Path
for name in ("mkdir", "open", "rename", "replace", "unlink"):
    setattr(Path, name, counted(name, getattr(Path, name)))
run_directory.RunDirectory.create(sys.argv[1], {"a": 1}).close()
"""


def test_a_creation_that_is_killed_leaves_all_or_nothing(tmp_path):
    """Before each of its operations on files."""
    ends = []
    for number in range(1, 20):
        path = tmp_path / str(number) / "run"
        process = subprocess.run([sys.executable, "-c", CREATE, str(path), str(number)], capture_output=True)
        ends.append(process.returncode)
        if path.exists():
            assert strict_loads((path / "config.json").read_text()) == {"a": 1}
            assert (path / "metrics.jsonl").exists()
        if process.returncode == 0:
            break
    assert set(ends[:-1]) == {-signal.SIGKILL}
    assert len(ends) > 4
    assert ends[-1] == 0


@pytest.mark.parametrize("change", ["renamed", "deleted", "made again"])
def test_a_folder_that_goes_is_noticed_before_anything_is_written(tmp_path, change):
    directory = RunDirectory.create(tmp_path / "run", {})
    directory.append({"iteration": 1, "env_steps": 1})
    if change == "renamed":
        (tmp_path / "run").rename(tmp_path / "other")
    else:
        shutil.rmtree(tmp_path / "run")
    if change == "made again":
        RunDirectory.create(tmp_path / "run", {}).close()
    left = sorted(os.walk(tmp_path))
    for write in (
        lambda: directory.append({"iteration": 2, "env_steps": 2}),
        lambda: directory.append_evaluation({"iteration": 2, "env_steps": 2}),
        directory.sync,
        lambda: directory.write_json("result.json", {}),
    ):
        with pytest.raises(OSError, match=r"run was renamed or deleted while the run wrote to it"):
            write()
    directory.close()
    assert sorted(os.walk(tmp_path)) == left
    assert len(directory.records) == 1
