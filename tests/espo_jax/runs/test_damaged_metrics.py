"""Lines of metrics.jsonl, evaluations.jsonl and a result.json that are damaged or made to harm."""

import json
import os
import shutil

import pytest

from espo_jax.cli.common import BadInputError
from espo_jax.results import report
from espo_jax.runs.files import DamagedError
from espo_jax.runs.records import read_evaluations, read_records
from tests.espo_jax.runs.damage import attempt, cut, line, snapshot
from tests.probe_envs import PointEnv

METRICS = {
    "truncated": (cut("metrics.jsonl", keep=0.9), 2),
    "garbage": (lambda path: (path / "metrics.jsonl").write_bytes(os.urandom(5000)), None),
    "endless line": (lambda path: (path / "metrics.jsonl").write_bytes(b"{" * (2**21)), None),
}


@pytest.mark.parametrize("case", METRICS)
def test_metrics_that_do_not_reach_the_checkpoint(case, victim, monkeypatch):
    damage, iteration = METRICS[case]
    damage(victim)
    if iteration is None:
        with pytest.raises(BadInputError, match=r"metrics\.jsonl ends at iteration 0"):
            attempt(monkeypatch, victim, PointEnv())
    else:
        prepared = attempt(monkeypatch, victim, PointEnv())
        assert prepared.restored.iteration == iteration
        assert prepared.restored.notes[0].startswith(
            "checkpoint 4 is passed over (metrics.jsonl ends at iteration 3); it is kept"
        )
        assert len(read_records(victim / "metrics.jsonl")) == iteration


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mode", "zzz"), ("mode", 0), ("env_steps", "16"), ("env_steps", None), ("env_steps", [1, 2]),
        ("episode_cost", {}), ("episode_cost", "inf"), ("episode_cost", [1.0, 2.0]), ("cost_limit", None),
        ("mode_counts", {"reward": 1}), ("sample_size", 10**400), ("steps_per_second", 0), ("iteration", 7),
        ("episode_reward", ...), ("mode", ...), ("mode_counts", ...),
    ],
)  # fmt: skip
def test_a_whole_line_that_is_no_record_is_refused_and_nothing_is_touched(name, value, victim, monkeypatch):
    """A later version may have written it: dropping it, as a half-written line is dropped, would lose data."""
    line(2, name, value)(victim)
    assert len(read_records(victim / "metrics.jsonl")) == 2, "the line ends the reading"
    before = snapshot(victim)
    with pytest.raises(BadInputError, match=r"metrics\.jsonl: line 3 is whole but not a record of iteration 3"):
        attempt(monkeypatch, victim, PointEnv())
    assert snapshot(victim) == before


def test_a_file_of_one_line_that_is_no_record_is_refused(victim, monkeypatch):
    (victim / "metrics.jsonl").write_text('{"iteration": 1}\n')
    before = snapshot(victim)
    with pytest.raises(BadInputError, match=r"metrics\.jsonl: line 1 is whole but not a record of iteration 1"):
        attempt(monkeypatch, victim, PointEnv())
    assert snapshot(victim) == before


def test_a_line_that_is_not_json_is_damage_and_the_run_goes_on_before_it(victim, monkeypatch):
    """No version wrote it, so nothing is lost: the iterations from it on come again."""
    lines = (victim / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (victim / "metrics.jsonl").write_bytes(b"".join([*lines[:2], b"x" + lines[2], lines[3]]))
    prepared = attempt(monkeypatch, victim, PointEnv())
    assert prepared.restored.iteration == 2
    assert "checkpoint 4 is passed over (metrics.jsonl ends at iteration 2); it is kept" in prepared.restored.notes[0]
    assert (victim / "metrics.jsonl").read_bytes() == b"".join(lines[:2])


def test_a_damaged_beginning_leaves_the_checkpoints_where_they_are(victim, monkeypatch):
    intact = (victim / "metrics.jsonl").read_bytes()
    (victim / "metrics.jsonl").write_bytes(b"x" + intact[1:])
    before = snapshot(victim)
    with pytest.raises(BadInputError, match=r"no checkpoint in .* can be used: .*metrics\.jsonl ends at iteration 0"):
        attempt(monkeypatch, victim, PointEnv())
    assert snapshot(victim) == before
    shutil.move(victim / "checkpoints", victim / "elsewhere")  # nor is it begun again over what is there
    with pytest.raises(BadInputError, match=r"no checkpoint to go on from"):
        attempt(monkeypatch, victim, PointEnv())
    shutil.move(victim / "elsewhere", victim / "checkpoints")
    (victim / "metrics.jsonl").write_bytes(intact)
    assert attempt(monkeypatch, victim, PointEnv()).restored.iteration == 4


@pytest.mark.parametrize(
    ("name", "value"), [("iteration", "abc"), ("env_steps", None), ("reward", [1.0]), ("cost", {})]
)
def test_lines_that_are_no_evaluations_end_the_reading(name, value, victim, monkeypatch):
    line(1, name, value, "evaluations.jsonl")(victim)
    assert [e["iteration"] for e in read_evaluations(victim / "evaluations.jsonl")] == [2]
    attempt(monkeypatch, victim, PointEnv())


@pytest.mark.parametrize(
    "content",
    [
        {"evaluation": {"deterministic": {"episodes": 3}}}, {"evaluation": {"deterministic": "x"}}, {"best_safe": {}},
        {"seconds": "inf"}, {"evaluation": {"deterministic": []}},
    ],
)  # fmt: skip
def test_report_of_a_result_that_is_none_is_one_error(content, victim):
    pytest.importorskip("plotly")
    (victim / "result.json").write_text(json.dumps(content))
    with pytest.raises(DamagedError, match=r"result\.json does not hold the result of a run"):
        report.write(victim, victim / "report.html", env=PointEnv())
    assert not (victim / "report.html").exists()
