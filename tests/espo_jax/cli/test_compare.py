"""`espo compare`: exit codes, and what is refused before anything is made."""

import signal

import numpy as np
import pytest

from espo_jax import cli
from espo_jax.cli.common import BadInputError
from espo_jax.cli.compare import compare
from espo_jax.cli.train import train
from espo_jax.results.compare import CompareOptions
from espo_jax.runs.options import RunOptions
from espo_jax.sweeps import group_run
from espo_jax.sweeps.folder import SweepFolder
from espo_jax.sweeps.sweep import Worker
from tests.probe_envs import TINY, PointEnv, Refund
from tests.tiny_runs import strict_loads


def test_nan_in_one_algorithm_leaves_the_others(tmp_path, capsys):
    env = PointEnv(episode_length=40, nan_reward_after=35)
    options = chosen(tmp_path / "run", algorithms="trpo", seeds="1")
    assert compare(options, {**TINY, "zeta_positive": 0.0}, lambda *_: env) == 3
    result = strict_loads((tmp_path / "run" / "comparison.json").read_text())
    assert result["failures"]["trpo-seed0"].startswith("iteration 3: nan or infinity in reward")
    assert result["rows"] == []
    assert "trpo-seed0 is left out" in capsys.readouterr().out


def test_nan_in_one_seed_leaves_the_others(tmp_path, monkeypatch):
    """The reward of the second seed is nan after a while."""
    fetch = group_run.fetch

    def with_nan(metrics):
        found = fetch(metrics)
        nonfinite = np.where((np.arange(3) == 1) & (found.iteration == 2), 1, found.nonfinite)
        return found._replace(nonfinite=nonfinite.astype(np.int32))

    monkeypatch.setattr(group_run, "fetch", with_nan)
    options = chosen(tmp_path / "run", algorithms="trpo", seeds="3")
    assert compare(options, dict(TINY), lambda *_: PointEnv()) == 3
    result = strict_loads((tmp_path / "run" / "comparison.json").read_text())
    assert result["failures"] == {"trpo-seed1": "iteration 2: nan or infinity in observation"}
    [row] = result["rows"]
    assert (row["seeds"], row["iterations"]) == (2, 4)


def test_an_interrupted_comparison_goes_on_with_the_same_command(tmp_path, monkeypatch, capsys):
    save, saved = Worker._save, []

    def save_and_signal(self, *args):
        save(self, *args)
        saved.append(args)
        if len(saved) == 1:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Worker, "_save", save_and_signal)
    options = chosen(tmp_path / "run", algorithms="trpo,crpo", seeds="0,4")
    assert compare(options, dict(TINY), lambda *_: PointEnv()) == 143
    assert "go on with: the same command and --run-dir" in capsys.readouterr().err
    result = strict_loads((tmp_path / "run" / "comparison.json").read_text())
    assert (result["status"], [row["algorithm"] for row in result["rows"]]) == ("interrupted", ["trpo"])
    assert compare(options, dict(TINY), lambda *_: PointEnv()) == 0
    result = strict_loads((tmp_path / "run" / "comparison.json").read_text())
    assert (result["status"], [row["algorithm"] for row in result["rows"]]) == ("finished", ["trpo", "crpo"])
    assert (tmp_path / "run" / "crpo-seed4" / "policy.npz").exists()


def test_a_longer_comparison_leaves_run_directories_of_its_length(tmp_path):
    options = chosen(tmp_path / "run", algorithms="trpo", seeds="1")
    assert compare(options, dict(TINY), lambda *_: PointEnv()) == 0
    for _ in range(2):
        assert compare(options, {**TINY, "num_iterations": 6}, lambda *_: PointEnv()) == 0
    lengths = {
        path.parent.name: strict_loads(path.read_text())["iterations"]
        for path in (tmp_path / "run").glob("*/result.json")
    }
    assert lengths == {"trpo-seed0": 4, "trpo-seed0-iteration6": 6}


def test_a_negative_cost_is_bad_input_to_train_and_to_compare(tmp_path, capsys):
    """Exit code 2, a status of its own, one line that says what a cost is; what ran until then is kept."""
    options = chosen(tmp_path / "compared", algorithms="trpo", seeds="1")
    assert compare(options, {**TINY, "zeta_positive": 0.0}, lambda *_: Refund()) == 2
    result = strict_loads((tmp_path / "compared" / "comparison.json").read_text())
    assert result["status"] == "negative_cost"
    assert result["failures"]["trpo-seed0"].startswith("iteration 1: the environment reported 64 costs below 0")
    options = RunOptions(task="point", num_eval_episodes=0, run_dir=str(tmp_path / "run"))
    assert train(options, dict(TINY), Refund()) == 2
    assert strict_loads((tmp_path / "run" / "result.json").read_text())["status"] == "negative_cost"
    assert "its sum over an episode is what cost_limit bounds from above" in capsys.readouterr().err
    assert (tmp_path / "run" / "policy.npz").exists()


def chosen(path, **options):
    given = {"task": "point", "preset": "none", "num_eval_episodes": 2, **options}
    return CompareOptions(run_dir=str(path), **given)


@pytest.mark.parametrize(
    ("options", "settings", "message"),
    [
        ({"algorithms": "espo,sac"}, {}, "algorithm is 'sac': it must be one of espo, pcrpo"),
        ({"algorithms": "espo,espo"}, {}, "algorithms is 'espo,espo': it names one twice"),
        ({"algorithms": "espo,crpo"}, {"conflict_resolution": "cagrad"}, "crpo has no balance mode"),
        ({}, {"cost_limit": [1.0, 2.0]}, "cost_limit has 2 values"),
    ],
)
def test_bad_input_is_refused_before_anything_is_made(options, settings, message, tmp_path):
    with pytest.raises((BadInputError, ValueError), match=message):
        compare(chosen(tmp_path / "run", **options), {**TINY, **settings}, lambda *_: PointEnv())
    assert not (tmp_path / "run").exists()


def test_no_seeds_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["compare", "--seeds", "0"]) == 2
    assert capsys.readouterr().err == "espo: error: seeds is '0': there must be at least one\n"
    assert not list(tmp_path.iterdir())


def test_given_settings_hold_for_all_and_the_rest_is_each_preset_s(monkeypatch):
    seen = {}

    def plan(path, lanes, lanes_per_group):
        seen.update({lane.config.options.algorithm: lane.config.settings() for lane in lanes})
        raise ValueError("stop here")

    monkeypatch.setattr(SweepFolder, "plan", plan)
    argv = "compare --algorithms espo,cup --backend mujoco --sample-size conflict_angle --target_kl=0.03"
    assert cli.main(argv.split()) == 2
    assert {name: values["sample_size_rule"] for name, values in seen.items()} == dict.fromkeys(
        ("espo", "cup"), "conflict_angle"
    )
    assert {values["target_kl"] for values in seen.values()} == {0.03}
    assert seen["cup"]["conflict_metric"] == "euclidean"
    assert seen["espo"]["zeta_positive"] == 0.1
