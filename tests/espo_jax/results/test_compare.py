"""A comparison: the table, the pictures, and what is left behind of every seed."""

import json

import numpy as np
import pytest

from espo_jax import cli, load_policy
from espo_jax.runs.run_config import RunConfig
from tests.tiny_runs import compared, strict_loads, train


@pytest.fixture(scope="module", name="compared")
def _compared():
    return compared()


def test_leaves_a_table_a_picture_and_every_seed(compared):
    code, _, path = compared
    assert code == 0
    seeds = {f"{name}-seed{seed}" for name in ("espo", "trpo") for seed in (0, 1)}
    assert {file.name for file in path.iterdir() if not file.name.startswith(".")} == seeds | {
        "manifest.json", "lanes.parquet", "metrics", "groups", "comparison.json", "table.md", "curves.png",
        "profiles.png", "saferleval_summary.csv",
    }  # fmt: skip
    assert (path / "curves.png").stat().st_size > 20_000
    for seed in seeds:
        lines = [strict_loads(line) for line in (path / seed / "metrics.jsonl").read_text().splitlines()]
        assert [line["iteration"] for line in lines] == [1, 2, 3, 4]
        assert all(np.isfinite(x).all() for x in np.load(path / seed / "policy.npz").values())
        assert strict_loads((path / seed / "result.json").read_text())["status"] == "finished"
    rules = {name: RunConfig.read(path / f"{name}-seed0").config["sample_size_rule"] for name in ("espo", "trpo")}
    assert rules == {"espo": "gradient_conflict", "trpo": "fixed"}


def test_rows_are_what_the_seeds_logged(compared):
    _, _, path = compared
    rows = {row["algorithm"]: row for row in strict_loads((path / "comparison.json").read_text())["rows"]}
    for name, row in rows.items():
        runs = [
            [json.loads(line) for line in (path / f"{name}-seed{seed}" / "metrics.jsonl").read_text().splitlines()]
            for seed in (0, 1)
        ]
        samples = [sum(line["sample_size"] for line in lines) for lines in runs]
        assert row["samples"]["mean"] == np.mean(samples)
        assert row["samples"]["standard_error"] == pytest.approx(np.std(samples, ddof=1) / np.sqrt(2))
        assert row["mean_over"] == row["above_over"] == 2  # half of the run
        rewards = [np.mean([line["episode_reward"] for line in lines[-2:]]) for lines in runs]
        assert row["reward"]["mean"] == pytest.approx(np.mean(rewards))
        assert sum(count["mean"] for count in row["mode_counts"].values()) == 4
        above = [np.mean([line["episode_cost"] > line["cost_limit"] for line in lines[-2:]]) for lines in runs]
        assert row["above_limit"]["mean"] == pytest.approx(np.mean(above))
        assert row["seeds"] == 2
        results = [strict_loads((path / f"{name}-seed{seed}" / "result.json").read_text()) for seed in (0, 1)]
        for policy, fresh in row["evaluation"].items():
            assert fresh["episodes"] == 4
            costs = [result["evaluation"][policy]["cost"] for result in results]
            assert fresh["cost"][0]["mean"] == pytest.approx(np.mean(costs))
    assert rows["trpo"]["samples"]["mean"] == 4 * 64
    assert rows["trpo"]["mode_counts"]["reward"]["mean"] == 4
    assert rows["espo"]["samples"]["mean"] < 4 * 64
    for row in rows.values():
        for policy, of in row["safety"]["policies"].items():
            assert of["reward"]["mean"] == pytest.approx(row["evaluation"][policy]["reward"]["mean"])
            cost = row["evaluation"][policy]["cost"][0]["mean"]
            assert of["cost_deviation"][0]["mean"] == pytest.approx(cost / row["cost_limit"][0] - 1, abs=1e-6)
        above = row["safety"]["training"]["cumulative_violation"][0]["mean"]
        assert (above > 0) == (row["safety"]["training"]["violating_iterations"]["mean"] > 0)
    share = rows["trpo"]["safety"]["policies"]["deterministic"]["normalized_reward"]
    assert share is None or share["mean"] == pytest.approx(1.0)
    head, _, *lines = (path / "table.md").read_text().splitlines()
    assert head.split(" | ")[-5:] == [
        "stochastic: reward", "stochastic: cost", "new episodes", "deterministic: reward", "deterministic: cost |",
    ]  # fmt: skip
    assert [line.split(" | ")[0] for line in lines[:2]] == ["| espo", "| trpo"]
    assert lines[3].startswith("reward, cost: of an episode, mean of the last 2 iterations")


def test_seeds_are_those_of_espo_train(compared, tmp_path):
    """Seed 1 is the same run but for float rounding."""
    options = {"algorithm": "trpo", "seed": 1, "num_eval_episodes": 0, "settings": {"slack_negative": -np.inf}}
    assert train(tmp_path / "run", **options)[0]["status"] == "finished"
    alone = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    vmapped = json.loads((compared[2] / "trpo-seed1" / "metrics.jsonl").read_text().splitlines()[0])
    for name in ("episode_reward", "episode_cost", "kl"):
        assert vmapped[name] == pytest.approx(alone[name], rel=1e-3)


def test_every_seed_is_a_run_directory(compared, tmp_path, capsys):
    """For `espo eval`, `espo plot` and load_policy."""
    runs = [str(compared[2] / f"{name}-seed{seed}") for name in ("espo", "trpo") for seed in (0, 1)]
    assert load_policy(runs[3], deterministic=True)(np.zeros((2, 1), np.float32))[0].shape == (2, 1)
    assert cli.main(["plot", *runs, "--output", str(tmp_path / "plot.svg")]) == 0
    assert "espo" in capsys.readouterr().out
    text = (tmp_path / "plot.svg").read_text()
    assert "<!-- espo (2 runs) -->" in text
    assert "<!-- trpo (2 runs) -->" in text
