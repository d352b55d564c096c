"""The examples run, at a smaller size."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "experiments" / "examples"


def check(script, capsys, **settings):
    names = runpy.run_path(str(EXAMPLES / script))
    args = names["Args"](num_iterations=1, base_sample_size=64, episode_length=8, **settings)
    names["main"](args)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("steps")]
    assert len(lines) == 2
    rows = [dict(field.split() for field in line.split("|")) for line in lines]
    assert [row["steps"] for row in rows] == ["0", "64"]
    assert all(float(row["limit"]) == args.cost_limit for row in rows)
    assert all(0 < float(row["reward"]) <= 8 for row in rows)  # at most 1 a step
    assert any(float(row["cost"]) > 0 for row in rows)


def test_brax_env(capsys):
    check("brax_env.py", capsys, cost_limit=3.0)


@pytest.mark.slow  # tests/safety_envs/test_playground.py trains the same environment
def test_playground(capsys):
    pytest.importorskip("mujoco_playground")
    check("playground.py", capsys, cost_limit=3.0)
