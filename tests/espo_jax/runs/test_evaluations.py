"""Evaluations during training."""

from espo_jax.runs.records import read_lines, read_records
from tests.tiny_runs import finished


def test_evaluations_come_at_their_interval():
    run_dir = finished(num_iterations=6)
    lines = list(read_lines(run_dir / "evaluations.jsonl"))
    assert [line["iteration"] for line in lines] == [2, 4, 6]
    records = read_records(run_dir / "metrics.jsonl")
    assert [line["env_steps"] for line in lines] == [records[i]["env_steps"] for i in (1, 3, 5)]
    assert all(line["policy"] == "deterministic" and line["length"] == 16 for line in lines)
