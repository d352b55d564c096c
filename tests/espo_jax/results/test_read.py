"""Run directories are read as far as this version can read them, and it says where that ends."""

from pathlib import Path

import numpy as np
import pytest

from espo_jax.results.read import final, read_run
from tests.tiny_runs import copied

FORMAT_3 = Path(__file__).parent.parent.parent / "data" / "format_3"


def test_lines_of_a_later_version_are_named(tmp_path):
    path = copied(FORMAT_3, tmp_path / "run")
    lines = (path / "metrics.jsonl").read_text().splitlines()
    lines[2] = lines[2].replace('"mode": "', '"mode": "later_')
    (path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.warns(UserWarning, match="1 of 4 lines, the first of them line 3, cannot be read by this version"):
        run = read_run(path)
    assert [line["iteration"] for line in run.records] == [1, 2, 4]


def test_final_values_are_means_of_the_last_iterations():
    records = read_run(FORMAT_3).records
    cost = [line["episode_cost"] for line in records]
    np.testing.assert_allclose(final([records], "episode_cost"), [[np.mean(cost[len(cost) // 2 :])]], rtol=1e-6)
    many = [{**records[0], "episode_cost": float(cost)} for cost in range(100)]
    np.testing.assert_allclose(final([many], "episode_cost"), [[np.mean(range(80, 100))]], rtol=1e-6)
