"""`espo replay` says whether a run repeats."""

import json

import pytest

from espo_jax.cli import main
from espo_jax.cli.common import BadInputError
from espo_jax.cli.replay import ReplayOptions, replay
from espo_jax.modes import MODE_NAMES
from espo_jax.runs.records import read_metrics, readable
from tests.probe_envs import PointEnv
from tests.tiny_runs import copied, train

pytestmark = pytest.mark.usefixtures("shared_programs")


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("repeated") / "run"
    train(path, settings={"slack_negative": -float("inf")}, num_eval_episodes=0)
    return path


def changed(path, iteration, **fields):
    lines = (path / "metrics.jsonl").read_text().splitlines()
    lines[iteration - 1] = json.dumps({**json.loads(lines[iteration - 1]), **fields})
    (path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    return path


def test_a_run_repeats_to_the_bit_and_nothing_is_written(run_dir, capsys):
    before = {path: path.stat().st_mtime_ns for path in run_dir.rglob("*")}
    assert replay(ReplayOptions(str(run_dir)), PointEnv()) == 0
    assert "the same in all 4 iterations, to the bit" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in run_dir.rglob("*")} == before


def test_lines_that_cannot_be_read_are_no_agreement(run_dir, tmp_path):
    path = changed(copied(run_dir, tmp_path / "run"), 1, mode="later")
    with (
        pytest.warns(UserWarning, match="1 of 4 lines"),
        pytest.raises(BadInputError, match="no line of the first 1 it"),
    ):
        replay(ReplayOptions(str(path), num_iterations=1), PointEnv())


def test_what_differs_is_named(run_dir, tmp_path, capsys):
    ran = readable(read_metrics(run_dir / "metrics.jsonl"))[2]["mode"]
    another = next(mode for mode in MODE_NAMES if mode != ran)
    path = changed(copied(run_dir, tmp_path / "run"), 3, kl=1e-30, mode=another)
    assert replay(ReplayOptions(str(path)), PointEnv()) == 1
    printed = capsys.readouterr().out
    assert "different from iteration 3 on, first in mode" in printed
    assert "kl: 1\n" in printed
    assert replay(ReplayOptions(str(path), num_iterations=2), PointEnv()) == 0


def test_other_versions_are_said(run_dir, tmp_path, capsys):
    path = copied(run_dir, tmp_path / "run")
    about = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**about, "versions": {**about["versions"], "jax": "0.1"}}))
    assert replay(ReplayOptions(str(path), num_iterations=1), PointEnv()) == 0
    assert "jax was 0.1, is " in capsys.readouterr().out


def test_nothing_to_compare_is_refused(run_dir, tmp_path, capsys):
    path = copied(run_dir, tmp_path / "run")
    assert main(["replay", str(path), "--num-iterations", "0"]) == 2
    assert "num_iterations is 0: it must be an integer in [1, 2^31)" in capsys.readouterr().err
    (path / "metrics.jsonl").write_text("")
    with pytest.raises(BadInputError, match=r"metrics\.jsonl holds no iteration"):
        replay(ReplayOptions(str(path)), PointEnv())
