"""result.json says how a run ended, and its table says it for people."""

import json
import os
from pathlib import Path

import pytest
from rich.console import Console

from espo_jax.runs import result
from espo_jax.runs.records import read_metrics, readable


def printed(content):
    console = Console(width=200, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(result.summary(content, Path("runs/mine")))
    return console.export_text()


def test_result_says_what_was_saved_and_whether_the_limit_is_met(intact):
    found = json.loads((intact / "result.json").read_text())
    records = readable(read_metrics(intact / "metrics.jsonl"))
    assert found["status"] == "finished"
    assert found["iterations"] == len(records)
    assert found["env_steps"] == records[-1]["env_steps"]
    assert found["fixed_env_steps"] == 4 * 64
    assert found["seconds"] == pytest.approx(sum(r["sample_size"] / r["steps_per_second"] for r in records))
    for policy in ("stochastic", "deterministic"):
        assert found["evaluation"][policy]["episodes"] == 2
        assert found["limit_met"][policy] == (found["evaluation"][policy]["cost"] <= 4.0)
    text = printed(found)
    for words in ("in training, ", "deterministic, 2 new episodes", "limit", "met", "fixed X: 256", "runs/mine"):
        assert words in text


def test_a_run_without_an_iteration_has_no_training():
    found = result.result_of([], 64, status=result.INTERRUPTED, evaluation={})
    assert found == {"status": "interrupted", "iterations": 0, "seconds": 0}


@pytest.mark.parametrize(("cost", "met"), [([1.0, 5.0], True), ([1.0, 5.1], False)])
def test_every_limit_counts(cost, met):
    record = {
        "iteration": 1,
        "sample_size": 50, "steps_per_second": 100.0, "env_steps": 50, "cost_limit": [2.0, 5.0], "episode_reward": 1.0,
        "episode_cost": cost, "episodes_finished": 3,
    }  # fmt: skip
    found = result.result_of([record], 64, status=result.FINISHED, compile_seconds=1.0, evaluation={})
    assert found["limit_met"] == {"training": met}
    assert found["seconds"] == 0.5
    assert ("yes" if met else "no") in printed(found)
    assert "21.9% fewer" in printed(found)
