"""`espo train`: exit codes, and what a run leaves on disk."""

import jax
import numpy as np
import pytest
from rich.console import Console

from espo_jax.cli.common import BadInputError
from espo_jax.cli.train import train
from espo_jax.config import Config
from espo_jax.runs import policies
from espo_jax.runs.options import RunOptions
from tests.probe_envs import TINY, PointEnv
from tests.shared_programs import shared
from tests.tiny_runs import strict_loads


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Exit code, printed text and run directory of a run that finished."""
    run_dir = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch, shared():
        printed = []
        patch.setattr(Console, "print", lambda self, *objects, **_: printed.extend(objects))
        settings = {**TINY, "slack_negative": (-np.inf,)}
        code = train(RunOptions(task="point", num_eval_episodes=3, run_dir=str(run_dir)), settings, PointEnv())
    return code, printed, run_dir


def test_finished_run_leaves_everything(finished):
    code, printed, run_dir = finished
    assert code == 0
    assert len(printed) >= 2
    assert {file.name for file in run_dir.iterdir()} == {
        "checkpoints",
        "config.json",
        "metrics.jsonl",
        "policy.npz",
        "curves.png",
        "result.json",
    }
    lines = [strict_loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [1, 2, 3, 4]
    expected = "env_steps sample_size mode conflict_angle episode_reward episode_cost cost_limit kl steps_per_second"
    assert set(expected.split()) <= set(lines[0])
    assert lines[0]["mode"] == "reward", "the first iteration is the warm-up"
    assert lines[0]["cost_limit"] == 4.0
    assert lines[0]["slack_negative"] == "-inf"
    assert sum(lines[-1]["mode_counts"].values()) == 4
    assert lines[-1]["env_steps"] == sum(line["sample_size"] for line in lines)


def test_config_is_enough_to_run_again(finished):
    config = strict_loads((finished[2] / "config.json").read_text())
    assert config["task"] == "point"
    assert config["algorithm"] == "espo"
    assert (config["backend"], config["reward"], config["preset"]) == (PointEnv().backend, "task", "paper")
    assert config["seed"] == 0
    assert config["config"]["max_zeta_positive"] == config["hyperparams"]["zeta_positive"] == 0.1
    assert config["hyperparams"]["cost_limit"] == 4.0
    assert config["hyperparams"]["slack_negative"] == ["-inf"]
    assert {"jax", "brax", "mujoco", "espo_jax", "python"} <= set(config["versions"])
    assert config["device"]["platform"]
    assert Config(**{**config["config"], "policy_hidden_sizes": (8,), "critic_hidden_sizes": (8,)})


def test_nan_exits_3_with_everything_before_it_on_disk(tmp_path, capsys):
    env = PointEnv(episode_length=40, nan_reward_after=35)
    settings = {**TINY, "zeta_positive": 0.0, "zeta_negative": 0.0}
    assert train(RunOptions(task="point", run_dir=str(tmp_path / "run")), settings, env) == 3
    printed = capsys.readouterr()
    assert "espo: iteration 3: nan or infinity in reward" in printed.err
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2
    assert (tmp_path / "run" / "curves.png").stat().st_size > 20_000
    assert strict_loads((tmp_path / "run" / "result.json").read_text())["status"] == "nonfinite"
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(policies.load_params(tmp_path / "run")))
    assert "iteration 2/4" in printed.out


def test_env_without_cost_is_refused(tmp_path):
    with pytest.raises(BadInputError, match=r'PointEnv.reset reports no info\["cost"\]; use SafetyWrapper'):
        train(RunOptions(run_dir=str(tmp_path / "run")), TINY, PointEnv(reports_cost=False))
    assert not (tmp_path / "run").exists()
