"""`espo compare`: exit codes, and what is refused before anything is made."""

import pytest

from espo_jax import cli
from espo_jax.cli.common import BadInputError
from espo_jax.cli.compare import compare
from espo_jax.cli.train import train
from espo_jax.results import compare as comparison
from espo_jax.results.compare import CompareOptions
from espo_jax.runs.options import RunOptions
from tests.probe_envs import TINY, PointEnv, Refund
from tests.tiny_runs import strict_loads


def test_nan_in_one_algorithm_leaves_the_others(tmp_path, capsys):
    env = PointEnv(episode_length=40, nan_reward_after=35)
    options = CompareOptions(task="point", algorithms="trpo", seeds=1, run_dir=str(tmp_path / "run"))
    assert compare(options, {**TINY, "zeta_positive": 0.0}, env) == 3
    result = strict_loads((tmp_path / "run" / "comparison.json").read_text())
    assert result["failures"]["trpo"].startswith("seed 0, iteration 3: nan or infinity in reward")
    assert result["rows"] == []
    assert "trpo is left out" in capsys.readouterr().out


def test_a_negative_cost_is_bad_input_to_train_and_to_compare(tmp_path, capsys):
    """Exit code 2, a status of its own, one line that says what a cost is; what ran until then is kept."""
    options = CompareOptions(task="point", algorithms="trpo", seeds=1, run_dir=str(tmp_path / "compared"))
    assert compare(options, {**TINY, "zeta_positive": 0.0}, Refund()) == 2
    result = strict_loads((tmp_path / "compared" / "comparison.json").read_text())
    assert result["status"] == "negative_cost"
    assert result["failures"]["trpo"].startswith("seed 0, iteration 1: the environment reported 64 costs below 0")
    options = RunOptions(task="point", num_eval_episodes=0, run_dir=str(tmp_path / "run"))
    assert train(options, dict(TINY), Refund()) == 2
    assert strict_loads((tmp_path / "run" / "result.json").read_text())["status"] == "negative_cost"
    assert "its sum over an episode is what cost_limit bounds from above" in capsys.readouterr().err
    assert (tmp_path / "run" / "policy.npz").exists()


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
    chosen = CompareOptions(**{"task": "point", "run_dir": str(tmp_path / "run"), **options})
    with pytest.raises(BadInputError, match=message):
        compare(chosen, {**TINY, **settings}, PointEnv())
    assert not (tmp_path / "run").exists()


def test_no_seeds_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["compare", "--seeds", "0"]) == 2
    assert capsys.readouterr().err == "espo: error: seeds is 0: it must be an integer in [1, 2^31)\n"
    assert not list(tmp_path.iterdir())


def test_given_settings_hold_for_all_and_the_rest_is_each_preset_s(monkeypatch):
    seen = {}

    def prepare(env, settings, options):
        seen.update(settings)
        raise ValueError("stop here")

    monkeypatch.setattr(comparison, "prepare", prepare)
    argv = "compare --algorithms espo,cup --backend spring --sample-size conflict_angle --target_kl=0.03"
    assert cli.main(argv.split()) == 2
    assert {name: values["sample_size_rule"] for name, values in seen.items()} == dict.fromkeys(
        ("espo", "cup"), "conflict_angle"
    )
    assert {values["target_kl"] for values in seen.values()} == {0.03}
    assert seen["cup"]["conflict_metric"] == "euclidean"
    assert seen["espo"]["zeta_positive"] == 0.1
