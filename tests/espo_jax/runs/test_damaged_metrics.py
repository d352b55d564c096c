"""Lines of metrics.jsonl, evaluations.jsonl and a result.json that are damaged or made to harm."""

import json
import os
import shutil

import pytest

from espo_jax.cli import main
from espo_jax.cli import train as train_command
from espo_jax.cli.common import BadInputError
from espo_jax.results import report
from espo_jax.results.read import read_run
from espo_jax.runs import files
from espo_jax.runs.files import DamagedError
from espo_jax.runs.records import read_evaluations, read_metrics, readable
from tests.espo_jax.runs.damage import attempt, cut, line, most_memory, rewritten, snapshot
from tests.probe_envs import PointEnv
from tests.tiny_runs import go_on


def lines_of(path):
    return (path / "metrics.jsonl").read_bytes().splitlines(keepends=True)


def iterations(path):
    return [line["iteration"] for line in readable(read_metrics(path / "metrics.jsonl"))]


def copies(path):
    """The files that were kept aside."""
    return sorted(path.glob("damaged-metrics-*.jsonl"))


METRICS = {
    "truncated": (cut("metrics.jsonl", keep=0.9), [1, 2, 3]),
    "garbage": (lambda path: (path / "metrics.jsonl").write_bytes(os.urandom(5000)), []),
    "endless line": (lambda path: (path / "metrics.jsonl").write_bytes(b"{" * (2**21)), []),
    "empty": (lambda path: (path / "metrics.jsonl").write_bytes(b""), []),
    "zeroed": (lambda path: (path / "metrics.jsonl").write_bytes(bytes(3000)), []),
    "not JSON": (lambda path: rewritten(lambda content: b"x" + content)(path / "metrics.jsonl"), [2, 3, 4]),
    "twice": (lambda path: (path / "metrics.jsonl").write_bytes(b"".join(2 * lines_of(path)[:2])), [1, 2]),
}


@pytest.mark.parametrize("case", METRICS)
def test_a_log_that_is_damaged_never_outranks_a_checkpoint(case, victim, monkeypatch):
    """The newest whole checkpoint is used; what the log was is kept, and its lines that can be read stay."""
    damage, left = METRICS[case]
    damage(victim)
    before = (victim / "metrics.jsonl").read_bytes()
    prepared = attempt(monkeypatch, victim, PointEnv())
    assert prepared.restored.iteration == 4
    assert iterations(victim) == left
    assert [copy.read_bytes() for copy in copies(victim)] == ([before] if before else [])
    assert f"metrics.jsonl cannot be read at {4 - len(left)} of 4 iterations" in prepared.restored.notes[0]
    assert {p.name for p in (victim / "checkpoints").iterdir()} == {"2", "4"}


@pytest.mark.usefixtures("shared_programs")
def test_a_run_with_a_gap_in_its_log_goes_on_and_is_read(victim, tmp_path, capsys):
    lines = lines_of(victim)
    (victim / "metrics.jsonl").write_bytes(b"".join([*lines[:1], b"x" + lines[1], *lines[2:]]))
    result, _ = go_on(victim, num_iterations=6)
    assert (result["status"], result["iterations"], result["fixed_env_steps"]) == ("finished", 6, 6 * 64)
    assert iterations(victim) == [1, 3, 4, 5, 6]
    assert lines_of(victim)[1] == b"x" + lines[1], "nothing that cannot be read is thrown away"
    assert main(["plot", str(victim), "--output", str(tmp_path / "plot.png")]) == 0
    assert "warning: " in (said := capsys.readouterr().err)
    assert "1 of 6 lines, the first of them line 2" in said


@pytest.mark.usefixtures("shared_programs")
def test_a_finished_run_whose_log_is_empty_ends_again(victim, capsys):
    (victim / "metrics.jsonl").write_bytes(b"")
    assert train_command.resume(str(victim), {}, PointEnv()) == 0
    assert "the log has no iteration that can be read" in capsys.readouterr().out
    assert json.loads((victim / "result.json").read_text())["iterations"] == 0


def test_a_deleted_log_is_begun_anew(victim, monkeypatch):
    (victim / "metrics.jsonl").unlink()
    assert attempt(monkeypatch, victim, PointEnv()).restored.iteration == 4
    assert iterations(victim) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mode", "zzz"), ("mode", 0), ("env_steps", "16"), ("env_steps", None), ("env_steps", [1, 2]),
        ("episode_cost", {}), ("episode_cost", "inf"), ("episode_cost", [1.0, 2.0, 3.0]), ("cost_limit", None),
        ("mode_counts", {"reward": 1}), ("sample_size", 10**400), ("steps_per_second", 0), ("iteration", 2),
        ("episode_reward", ...), ("mode", ...), ("mode_counts", ...), ("iteration", True), ("sample_size", -1),
    ],
)  # fmt: skip
def test_a_whole_line_that_is_no_record_stays_where_it_is(name, value, victim, monkeypatch):
    """A later version may have written it: dropping it, as a half-written line is dropped, would lose data."""
    line(2, name, value)(victim)
    before = (victim / "metrics.jsonl").read_bytes()
    assert iterations(victim) == [1, 2, 4]
    prepared = attempt(monkeypatch, victim, PointEnv())
    assert prepared.restored.iteration == 4
    assert (victim / "metrics.jsonl").read_bytes() == before
    assert copies(victim)[0].read_bytes() == before
    attempt(monkeypatch, victim, PointEnv())
    assert len(copies(victim)) == 1, "once is enough"


@pytest.mark.parametrize("content", [b"\n" * 5000, b"{}\n" * 5000, os.urandom(2**20)])
def test_a_log_that_cannot_be_read_at_all_is_set_aside_and_the_checkpoint_used(content, victim, monkeypatch):
    (victim / "metrics.jsonl").write_bytes(content)
    (victim / "evaluations.jsonl").write_bytes(content)
    assert attempt(monkeypatch, victim, PointEnv()).restored.iteration == 4
    for name in ("metrics", "evaluations"):
        assert [path.read_bytes() for path in victim.glob(f"damaged-{name}*")] == [content]
        assert (victim / f"{name}.jsonl").read_bytes() == b""


@pytest.mark.parametrize(
    ("number", "name", "value"), [(1, "iteration", 1005), (0, "iteration", 4), (2, "iteration", 1)]
)
def test_one_wrong_number_hides_one_line(number, name, value, victim, monkeypatch):
    line(number, name, value)(victim)
    assert iterations(victim) == [n for n in (1, 2, 3, 4) if n != number + 1]
    attempt(monkeypatch, victim, PointEnv())
    assert iterations(victim) == [n for n in (1, 2, 3, 4) if n != number + 1]


def test_one_line_of_another_number_of_constraints_hides_itself(victim):
    for name in ("episode_cost", "cost_limit", "slack_positive", "slack_negative"):
        line(0, name, [1.0, 1.0])(victim)
    assert iterations(victim) == [2, 3, 4]


def test_three_costs_against_one_limit_are_no_record(victim):
    for number in range(4):
        line(number, "episode_cost", [1.0, 2.0, 3.0])(victim)
    with pytest.raises(DamagedError, match="holds no iteration that this version can read"):
        read_run(victim)


def test_a_file_of_nothing_but_newlines_is_one_error(victim):
    (victim / "metrics.jsonl").write_bytes(b"\n" * 2**24)
    before = most_memory()
    with pytest.raises(DamagedError, match="over 1000 of its lines cannot be read"):
        read_run(victim)
    assert most_memory() - before < 2**26


def test_a_log_without_any_checkpoint_is_not_begun_over(victim, monkeypatch):
    shutil.rmtree(victim / "checkpoints")
    (victim / "metrics.jsonl").write_bytes(b"x" + (victim / "metrics.jsonl").read_bytes())
    before = snapshot(victim)
    with pytest.raises(BadInputError, match=r"no checkpoint to go on from"):
        attempt(monkeypatch, victim, PointEnv())
    assert snapshot(victim) == before


def test_two_copies_in_one_second_do_not_collide(victim, monkeypatch):
    monkeypatch.setattr(files, "_stamp", lambda: "20260101-000000")
    for number in (1, 2):
        (victim / "metrics.jsonl").write_bytes(b"no record %d\n" % number)
        attempt(monkeypatch, victim, PointEnv())
    assert [copy.read_bytes() for copy in copies(victim)] == [b"no record 2\n", b"no record 1\n"]
    for _ in range(2):
        content = victim / "checkpoints" / "4" / "state" / "float32" / "0"
        content.write_bytes(content.read_bytes()[:-1])
        assert attempt(monkeypatch, victim, PointEnv()).restored.iteration == 2
        shutil.copytree(victim / "checkpoints" / "2", victim / "checkpoints" / "4")
    names = {entry.name for entry in (victim / "checkpoints").iterdir()}
    assert names == {"2", "4", "damaged-4-20260101-000000", "damaged-4-20260101-000000-2"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("iteration", "abc"), ("env_steps", None), ("reward", [1.0]), ("cost", {}), ("cost", ...), ("reward", ...)],
)
def test_lines_that_are_no_evaluations_are_left_out_and_stay(name, value, victim, monkeypatch):
    line(0, name, value, "evaluations.jsonl")(victim)
    before = (victim / "evaluations.jsonl").read_bytes()
    assert [e["iteration"] for e in readable(read_evaluations(victim / "evaluations.jsonl"))] == [4]
    attempt(monkeypatch, victim, PointEnv())
    assert (victim / "evaluations.jsonl").read_bytes() == before


def test_an_evaluation_of_nan_is_read(victim):
    line(0, "reward", None, "evaluations.jsonl")(victim)
    line(0, "cost", None, "evaluations.jsonl")(victim)
    assert [e["iteration"] for e in readable(read_evaluations(victim / "evaluations.jsonl"))] == [2, 4]


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
