"""The table for SafeRLEval: its columns, and what its own formulas make of them."""

import csv
import json

import numpy as np
import pytest

from espo_jax.evaluation import POLICIES, Episodes
from espo_jax.results import saferleval
from espo_jax.results.safety_measures import cost_deviation, violation_magnitude, violation_rate
from tests.made_up import run_of

# As experiments/train/train.py of github.com/lindsayspoor/SafeRLEval writes them.
COLUMNS = [
    "run_name", "env", "algo", "bound", "seed", "level",
    *(f"train_{name}" for name in ("reward", "cost", "violation_rate", "cost_mean_violating")),
    *(
        f"{split}_{name}"
        for split in ("test", "det_test")
        for name in ("reward", "cost", "violation_rate", "cost_mean_violating", "episode_costs")
    ),
]  # fmt: skip


def written(runs, path):
    saferleval.write(runs, path)
    with path.open() as file:
        return list(csv.DictReader(file))


def test_columns_and_values_are_those_that_its_code_reads(tmp_path):
    runs = [run_of(cost=4.2, seed=seed) for seed in range(3)]
    rows = written(runs, tmp_path / saferleval.FILE)
    assert [list(row) for row in rows] == [COLUMNS] * 3
    for row, run in zip(rows, runs, strict=True):
        assert (row["algo"], row["env"], row["level"]) == ("espo", "point", "")
        bound, costs = float(row["bound"]), np.array(json.loads(row["det_test_episode_costs"]))
        column = run.episodes["deterministic"].cost
        np.testing.assert_allclose(costs, column[:, 0])
        assert float(row["det_test_violation_rate"]) == violation_rate(column, run.limit)
        assert (float(row["det_test_cost"]) - bound) / bound == pytest.approx(cost_deviation(column, run.limit)[0])
        magnitude = (float(row["det_test_cost_mean_violating"]) - bound) / bound
        assert magnitude == pytest.approx(violation_magnitude(column, run.limit)[0])
    assert float(rows[0]["train_violation_rate"]) == 1.0  # all six iterations end above 4


def test_every_constraint_has_its_row_and_what_is_unknown_is_empty(tmp_path):
    run = run_of(limit=[4.0, 9.0], records=False)
    cost = np.array([[5.0, 1.0], [3.0, 2.0]])
    run = run._replace(episodes=dict.fromkeys(POLICIES, Episodes(np.ones(2), cost, np.full(2, 16))))
    first, second = written([run], tmp_path / "x.csv")
    assert [first["env"], second["env"]] == ["point, cost 1", "point, cost 2"]
    assert (first["test_violation_rate"], second["test_violation_rate"]) == ("0.5", "0.0")
    assert second["test_cost_mean_violating"] == "0.0", "SafeRLEval has 0 where nothing violates, and averages it"
    assert "train_cost" not in first
