"""The table of runs that SafeRLEval reads: `python SafeRLEval/evaluate.py FILE` computes its measures from it.

Columns and their meaning are those of github.com/lindsayspoor/SafeRLEval, the code of Spoor, Plaat and Moerland 2026,
arXiv:2609.15315: `train_` of training, `test_` of the stochastic and `det_test_` of the deterministic policy at the
end. Two things differ. The costs of single episodes of training are not recorded here, so the columns of training are
means over iterations: an iteration counts as violating if its V_c is above the limit. With several constraints a run
has a row for each, since that table has one bound in a row, and `env` names the constraint.
"""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from espo_jax.evaluation import DETERMINISTIC, STOCHASTIC
from espo_jax.results.evaluated import EvaluatedRun
from espo_jax.runs import files
from espo_jax.runs.records import series

FILE = "saferleval_summary.csv"  # its evaluate.py reads a file, or all *_summary.csv of a folder
_PREFIXES = {STOCHASTIC: "test", DETERMINISTIC: "det_test"}


def write(runs: Sequence[EvaluatedRun], path: Path) -> None:
    """Write the table.

    Args:
      runs: the runs.
      path: file to write.

    Raises:
      OSError: it cannot be written.
    """
    rows = [row for run in runs for row in rows_of(run)]
    text = io.StringIO()
    table = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    files.write(path, text.getvalue().encode())


def rows_of(run: EvaluatedRun) -> list[dict[str, Any]]:
    """The rows of a run, one for each constraint; None is an empty field."""
    options, limit = run.config.options, run.limit
    rows = []
    for k, bound in enumerate(limit.tolist()):
        row = {
            "run_name": run.name,
            "env": options.task if len(limit) == 1 else f"{options.task}, cost {k + 1}",
            "algo": options.algorithm,
            "bound": bound,
            "seed": options.seed,
            "level": None,
        }
        if run.records:
            reward, cost = series(run.records, "episode_reward")[:, 0], series(run.records, "episode_cost")[:, k]
            row |= _part("train", reward, cost, bound)
        for policy, prefix in _PREFIXES.items():
            if policy in run.episodes:
                episodes = run.episodes[policy]
                costs = np.asarray(episodes.cost, float)[:, k]
                row |= _part(prefix, np.asarray(episodes.reward, float), costs, bound)
                row[f"{prefix}_episode_costs"] = json.dumps(costs.tolist())
        rows.append(row)
    return rows


def _part(prefix: str, reward: np.ndarray, cost: np.ndarray, bound: float) -> dict[str, Any]:
    above = cost[cost > bound]
    return {
        f"{prefix}_reward": float(np.mean(reward)),
        f"{prefix}_cost": float(np.mean(cost)),
        f"{prefix}_violation_rate": float(np.mean(cost > bound)),
        f"{prefix}_cost_mean_violating": float(np.mean(above)) if len(above) else 0.0,  # as it has it
    }
