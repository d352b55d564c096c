"""`espo compare`: the table, the pictures, what is left behind, and what is refused."""

import json

import numpy as np
import pytest
from rich.console import Console

from espo_jax import cli, commands, load_policy
from espo_jax.flags import BadInputError
from espo_jax.options import CompareOptions, RunOptions
from espo_jax.results import compare

from tests.probe_envs import TINY, PointEnv, Refund
from tests.espo_jax.runs.test_run_directory import strict_loads


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Exit code, printed objects and directory of a comparison of two algorithms, two seeds each."""
    path = tmp_path_factory.mktemp("runs") / "compared"
    printed = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Console, "print", lambda self, *objects, **_: printed.extend(objects))
        options = CompareOptions(task="point", algorithms="espo, trpo", seeds=2, run_dir=str(path))
        code = commands.compare(options, {**TINY, "slack_negative": -np.inf}, PointEnv())
    return code, printed, path


def test_leaves_a_table_a_picture_and_every_seed(compared):
    code, _, path = compared
    assert code == 0
    seeds = {f"{name}-seed{seed}" for name in ("espo", "trpo") for seed in (0, 1)}
    assert {file.name for file in path.iterdir()} == seeds | {
        "config.json", "compare.json", "table.md", "curves.png",
    }  # fmt: skip
    assert (path / "curves.png").stat().st_size > 20_000
    for seed in seeds:
        lines = [strict_loads(line) for line in (path / seed / "metrics.jsonl").read_text().splitlines()]
        assert [line["iteration"] for line in lines] == [1, 2, 3, 4]
        assert all(np.isfinite(x).all() for x in np.load(path / seed / "policy.npz").values())
    config = strict_loads((path / "config.json").read_text())
    rules = {name: values["config"]["sample_size_rule"] for name, values in config["algorithms"].items()}
    assert rules == {"espo": "gradient_conflict", "trpo": "fixed"}


def test_rows_are_what_the_seeds_logged(compared):
    _, _, path = compared
    rows = {row["algorithm"]: row for row in strict_loads((path / "compare.json").read_text())["rows"]}
    for name, row in rows.items():
        runs = [
            [json.loads(line) for line in (path / f"{name}-seed{seed}" / "metrics.jsonl").read_text().splitlines()]
            for seed in (0, 1)
        ]
        samples = [sum(line["sample_size"] for line in lines) for lines in runs]
        assert row["samples"]["mean"] == np.mean(samples)
        assert row["samples"]["standard_error"] == pytest.approx(np.std(samples, ddof=1) / np.sqrt(2))
        rewards = [np.mean([line["episode_reward"] for line in lines]) for lines in runs]
        assert row["reward"]["mean"] == pytest.approx(np.mean(rewards))
        assert sum(count["mean"] for count in row["mode_counts"].values()) == 4
        above = [np.mean([line["episode_cost"] > line["cost_limit"] for line in lines]) for lines in runs]
        assert row["above_limit"]["mean"] == pytest.approx(np.mean(above))
        largest = [max(lines[i]["sample_size"] for lines in runs) for i in range(4)]
        assert row["lockstep_samples"] == sum(largest)
        assert row["seeds"] == 2
    assert rows["trpo"]["samples"]["mean"] == 4 * 64
    assert rows["trpo"]["mode_counts"]["reward"]["mean"] == 4
    assert rows["espo"]["samples"]["mean"] < 4 * 64
    assert (path / "table.md").read_text().count("\n") == 4


def test_seeds_are_those_of_espo_train(compared, tmp_path):
    """Vmapped or alone, seed 1 is the same run but for float rounding."""
    job = commands.train(
        RunOptions(task="point", algorithm="trpo", seed=1, num_eval_episodes=0, run_dir=str(tmp_path / "run")),
        {**TINY, "slack_negative": -np.inf}, PointEnv(),
    )  # fmt: skip
    assert job == 0
    alone = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    vmapped = json.loads((compared[2] / "trpo-seed1" / "metrics.jsonl").read_text().splitlines()[0])
    for name in ("episode_reward", "episode_cost", "kl"):
        assert vmapped[name] == pytest.approx(alone[name], rel=1e-3)


def test_printed_table_names_everything(compared):
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    for item in compared[1]:
        console.print(item)
    text = console.export_text()
    for words in ("espo", "trpo", "samples (M)", "iterations by mode", "4 ± 0 reward", "met", "0:0", "(100%)", "± "):
        assert words in text


def test_nan_in_one_algorithm_leaves_the_others(tmp_path, capsys):
    env = PointEnv(episode_length=40, nan_reward_after=35)
    options = CompareOptions(task="point", algorithms="trpo", seeds=1, run_dir=str(tmp_path / "run"))
    assert commands.compare(options, {**TINY, "zeta_positive": 0.0}, env) == 3
    result = strict_loads((tmp_path / "run" / "compare.json").read_text())
    assert result["failures"]["trpo"].startswith("seed 0, iteration 3: nan or infinity in reward")
    assert result["rows"] == []
    assert "trpo is left out" in capsys.readouterr().out


@pytest.mark.usefixtures("quick_compile")
def test_a_negative_cost_is_bad_input_to_train_and_to_compare(tmp_path, capsys):
    """Exit code 2, a status of its own, one line that says what a cost is; what ran until then is kept."""
    options = CompareOptions(task="point", algorithms="trpo", seeds=1, run_dir=str(tmp_path / "compared"))
    assert commands.compare(options, {**TINY, "zeta_positive": 0.0}, Refund()) == 2
    result = strict_loads((tmp_path / "compared" / "compare.json").read_text())
    assert result["status"] == "negative_cost"
    assert result["failures"]["trpo"].startswith("seed 0, iteration 1: the environment reported 64 costs below 0")
    options = RunOptions(task="point", num_eval_episodes=0, run_dir=str(tmp_path / "run"))
    assert commands.train(options, dict(TINY), Refund()) == 2
    assert strict_loads((tmp_path / "run" / "result.json").read_text())["status"] == "negative_cost"
    assert "its sum over an episode is what cost_limit bounds from above" in capsys.readouterr().err
    assert (tmp_path / "run" / "policy.npz").exists()


@pytest.mark.parametrize(
    ("options", "settings", "message"),
    [
        ({"algorithms": "espo,sac"}, {}, "unknown algorithm 'sac'; known algorithms: espo, pcrpo"),
        ({"algorithms": "espo,espo"}, {}, "algorithms is 'espo,espo': it names one twice"),
        ({"seeds": 0}, {}, "seeds is 0: it must be at least 1"),
        ({"algorithms": "espo,crpo"}, {"conflict_resolution": "cagrad"}, "crpo has no balance mode"),
        ({}, {"cost_limit": [1.0, 2.0]}, "cost_limit has 2 values"),
    ],
)
def test_bad_input_is_refused_before_anything_is_made(options, settings, message, tmp_path):
    chosen = CompareOptions(**{"task": "point", "run_dir": str(tmp_path / "run"), **options})
    with pytest.raises(BadInputError, match=message):
        commands.compare(chosen, {**TINY, **settings}, PointEnv())
    assert not (tmp_path / "run").exists()


def test_given_settings_hold_for_all_and_the_rest_is_each_preset_s(monkeypatch):
    seen = {}

    def prepare(env, settings, **_):
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


def test_every_seed_is_a_run_directory(compared, tmp_path, capsys):
    """For `espo eval`, `espo plot` and load_policy."""
    runs = [str(compared[2] / f"{name}-seed{seed}") for name in ("espo", "trpo") for seed in (0, 1)]
    assert load_policy(runs[3], deterministic=True)(np.zeros((2, 1), np.float32))[0].shape == (2, 1)
    assert cli.main(["plot", *runs, "--output", str(tmp_path / "plot.svg")]) == 0
    assert "espo" in capsys.readouterr().out
    text = (tmp_path / "plot.svg").read_text()
    assert "<!-- espo (2) -->" in text
    assert "<!-- trpo (2) -->" in text
