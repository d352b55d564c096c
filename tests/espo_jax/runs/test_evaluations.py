"""Evaluations during training and at the end."""

import json

import jax.numpy as jnp
import pytest

from espo_jax.results import report
from espo_jax.runs import evaluations
from espo_jax.runs.records import read_evaluations, read_metrics, readable
from tests.probe_envs import PointEnv
from tests.tiny_runs import finished, go_on, train


def test_evaluations_come_at_their_interval():
    run_dir = finished(num_iterations=6)
    lines = readable(read_evaluations(run_dir / "evaluations.jsonl"))
    assert [line["iteration"] for line in lines] == [2, 4, 6]
    records = readable(read_metrics(run_dir / "metrics.jsonl"))
    assert [line["env_steps"] for line in lines] == [records[i]["env_steps"] for i in (1, 3, 5)]
    assert all(line["policy"] == "deterministic" and line["length"] == 16 for line in lines)


@pytest.mark.usefixtures("shared_programs")
def test_nan_in_an_evaluation_is_said_recorded_and_read(tmp_path, monkeypatch, capsys, same_run):
    """Later evaluations stay when the run goes on, and so does a last evaluation that is nan."""
    plain = evaluations.evaluator

    def evaluator(*args, **options):
        run = plain(*args, **options)

        def evaluate(params, key, deterministic):
            found = run(params, key, deterministic)
            bad = jnp.logical_or(~jnp.asarray(deterministic), params[0].count.lo < 120)
            return found._replace(reward=jnp.where(bad, jnp.nan, found.reward))

        return evaluate

    monkeypatch.setattr(evaluations, "evaluator", evaluator)
    path = tmp_path / "run"
    result, _ = train(path)
    said = capsys.readouterr().err
    assert "espo: warning: evaluation after iteration 2: reward is nan or infinite\n" in said
    assert "espo: warning: evaluation after iteration 4: reward is nan or infinite\n" in said
    assert result["status"] == "finished"
    saved = json.loads((path / "result.json").read_text())
    assert saved["evaluation"]["stochastic"]["reward"] is None
    assert saved["evaluation"]["deterministic"]["reward"] is not None
    before = (path / "evaluations.jsonl").read_bytes()
    lines = readable(read_evaluations(path / "evaluations.jsonl"))
    assert [(line["iteration"], line["reward"] is None) for line in lines] == [(2, True), (4, False)]
    pytest.importorskip("plotly")
    report.write(path, tmp_path / "report.html", env=PointEnv())
    assert "nan" in (tmp_path / "report.html").read_text()
    go_on(path, num_iterations=5)
    assert (path / "evaluations.jsonl").read_bytes() == before
