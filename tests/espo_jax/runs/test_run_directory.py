"""The run directory: never overwritten, strict JSON, no pickle."""

import math

import numpy as np
import pytest

from espo_jax.runs import run_directory
from espo_jax.runs.run_directory import RunDirectory
from tests.tiny_runs import strict_loads


def test_existing_directory_is_refused_and_untouched(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("precious")
    with pytest.raises(FileExistsError, match="already exists and is never overwritten; choose another with --run-dir"):
        RunDirectory(tmp_path)
    assert (tmp_path / "metrics.jsonl").read_text() == "precious"


def test_unwritable_directory_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write to run directory .*file/run \(Not a directory\); choose another"):
        RunDirectory(tmp_path / "file" / "run")


def test_infinities_survive_json_and_nan_becomes_null(tmp_path):
    directory = RunDirectory(tmp_path / "deep" / "run")
    directory.append({"slack_negative": -math.inf, "list": [math.inf, 1.0], "nan": np.float32("nan"), "n": np.int32(3)})
    line = strict_loads((directory.path / "metrics.jsonl").read_text())
    assert line == {"slack_negative": "-inf", "list": ["inf", 1.0], "nan": None, "n": 3}
    assert float(line["slack_negative"]) == -math.inf


def test_default_path_names_the_run():
    path = run_directory.default_path("safety_reacher", "espo", 3)
    assert path.parent.name == "runs"
    assert path.name.startswith("safety_reacher-espo-seed3-2")
