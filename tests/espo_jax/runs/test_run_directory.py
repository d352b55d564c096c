"""The run directory: never overwritten, made as a whole, noticed when it goes, strict JSON, no pickle."""

import math
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from espo_jax.runs import place, run_directory
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
    path = place.default_path("safety_reacher", "espo", 3)
    assert path.parent.name == "runs"
    assert path.name.startswith("safety_reacher-espo-seed3-2")


def test_an_empty_folder_is_refused_too(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(FileExistsError):
        RunDirectory.create(tmp_path / "mine", {})
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine"]


def test_a_parent_that_is_a_link_to_nowhere_is_one_error(tmp_path):
    """As where a disk is not mounted; it must not be taken for a name that other runs have."""
    (tmp_path / "runs").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OSError, match=r"cannot write to run directory .*runs/a \(File exists\)"):
        run_directory.create_numbered(tmp_path / "runs" / "a", {})


def test_an_interrupted_creation_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_directory.files, "write_json", interrupt)
    with pytest.raises(KeyboardInterrupt):
        RunDirectory.create(tmp_path / "run", {})
    assert list(tmp_path.iterdir()) == []


def test_a_default_name_that_is_taken_gets_a_number(tmp_path):
    made = [run_directory.create_numbered(tmp_path / "run", {"number": number}) for number in range(3)]
    assert [directory.path.name for directory in made] == ["run", "run-2", "run-3"]
    for directory in made:
        directory.close()


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("a\\b", "has a backslash: orbax takes it for a separator"), ("a\\b/run", "has a backslash"),
        ("a\udcff", "is not UTF-8, which orbax needs"), ("gs://bucket/run", "is a URL: it must be a folder of this"),
    ],
)  # fmt: skip
def test_a_path_at_which_checkpoints_would_go_elsewhere_is_refused(tmp_path, monkeypatch, place, message):
    monkeypatch.chdir(tmp_path)
    for make in (lambda path: RunDirectory.create(path, {}), RunDirectory.open):
        with pytest.raises(ValueError, match=message):
            make(place)
    assert list(tmp_path.iterdir()) == []


def kill_before(operation):
    """Kill this process before its operation of that number on files."""
    left = [operation]

    def counted(function):
        def call(*args, **options):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **options)

        return call

    for name in ("mkdir", "open", "rename", "replace", "unlink"):
        setattr(Path, name, counted(getattr(Path, name)))


@pytest.mark.filterwarnings("ignore:.*fork:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_creation_that_is_killed_leaves_all_or_nothing(tmp_path):
    ends = []
    while not ends or ends[-1]:
        path = tmp_path / str(len(ends)) / "run"
        child = os.fork()
        if not child:
            kill_before(len(ends) + 1)
            RunDirectory.create(path, {"a": 1}).close()
            os._exit(0)
        ends.append(os.WTERMSIG(os.waitpid(child, 0)[1]))
        if path.exists():
            assert strict_loads((path / "config.json").read_text()) == {"a": 1}
            assert (path / "metrics.jsonl").exists()
    assert set(ends[:-1]) == {signal.SIGKILL}
    assert len(ends) > 4
    assert path.exists()


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
