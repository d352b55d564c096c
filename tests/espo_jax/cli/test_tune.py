"""`espo tune`: exit codes, what is refused, what is printed, and that the printed command trains the same lane."""

import shlex
import signal

import pytest

from espo_jax import cli
from espo_jax.cli import train
from espo_jax.cli.tune import train_command, tune
from espo_jax.results.trial import RUNNING, Trial
from espo_jax.results.tune_options import TuneOptions
from espo_jax.runs.options import RunOptions
from espo_jax.sweeps.sweep import Worker
from tests.tiny_sweeps import make_env
from tests.tiny_tunings import OPTIONS, RUN, SETTINGS, compiled_once, tuned

TASK = "--task safety_reacher --backend mujoco"
RANGE = "--range target_kl=0.005:0.05:log"


def run(path, settings=None, **options):
    with compiled_once():
        given = TuneOptions(**{**OPTIONS, "tune_dir": str(path), **options})
        return tune(given, RUN, {**SETTINGS, **(settings or {})}, make_env)


def test_prints_the_best_trial_and_how_to_train_with_it(capsys):
    path, _, _ = tuned()
    assert run(path) == 0
    printed = capsys.readouterr().out
    assert "best safe trial: trial " in printed
    assert "train with it: espo train --task=point --preset=none --algorithm=trpo --num-eval-episodes=2" in printed
    assert str(path) in printed.replace("\n", "")


def test_a_tuning_of_which_all_fails_exits_as_a_run(tmp_path, capsys):
    assert run(tmp_path / "tune", {"critic_l2": 3e38}, num_trials=2) == 3
    printed = capsys.readouterr().out
    assert "no trial is safe; 0 of 2 trials are safe, 2 failed" in printed
    assert "train with it" not in printed


def test_a_signal_ends_it_and_the_same_command_goes_on(tmp_path, capsys, monkeypatch):
    turns = iter(range(100))
    save = Worker._save

    def save_and_signal(self, *args):
        save(self, *args)
        if next(turns) == 0:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Worker, "_save", save_and_signal)
    assert run(tmp_path / "tune") == 143
    assert f"go on with: the same command and --tune-dir {tmp_path / 'tune'}" in capsys.readouterr().err
    assert run(tmp_path / "tune") == 0
    assert "best safe trial: trial " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("", "nothing is tuned: give range"),
        ("--range target_k=1:2:log", "range target_k: there is no such setting; did you mean target_kl?"),
        ("--range num_envs=1:2:linear", "range num_envs: num_envs is a static setting"),
        ("--range target_kl=0.005:0.05", "it must be low:high:linear or low:high:log"),
        ("--choice algorithm=espo", "choice algorithm is 'espo': it must have at least two values"),
        ("--choice algorithm=espo,magic", "algorithm is 'magic': it must be one of espo"),
        ("--choice num_envs=16,10000000000", "choice num_envs is 10000000000: it must be an integer in"),
        (f"{RANGE} --num-trials 0", "num_trials is 0: it must be an integer in [1, 2^31)"),
        (f"{RANGE} --trials-per-round 0", "trials_per_round is 0: it must be an integer in [1, 2^31)"),
        (f"{RANGE} --num-eval-episodes 1", "num_eval_episodes is 1: it must be at least 2"),
        (f"{RANGE} --seeds 3-1", "seeds is '3-1': it must be numbers and ranges"),
        (f"{RANGE} --target-kl 0.01", "target_kl is given for all trials, and tuned: give only one of both"),
        (f"{RANGE} --seed 3", "Unrecognized options: --seed"),
        (f"{RANGE} --zeta-negative 5", "zeta_negative is 5: it must lie in (-1, 0]"),
        (f"{RANGE} --tune-dir {{}}", "exists and has no study.json: it is no tuning, and is never overwritten"),
    ],
)
def test_bad_input_is_one_line(flags, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["tune", *TASK.split(), *flags.format(tmp_path).split()]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "warning" not in line]
    assert len(errors) == 1
    assert message in errors[0]
    assert not list(tmp_path.iterdir())


def test_the_printed_command_has_all_settings(monkeypatch):
    settings = {
        "cost_limit": (25.0,), "slack_negative": (-float("inf"),), "policy_hidden_sizes": (32, 32),
        "normalize_observations": False, "num_iterations": 7,
    }  # fmt: skip
    trial = Trial(0, RUNNING, {"target_kl": 1.23457e-05, "zeta_negative": -1.5e-05, "algorithm": "crpo"}, ())
    line = train_command(RunOptions(backend="spring", num_timesteps=100), settings, trial)
    seen = {}

    def new_run(env, given, options, *_):
        seen.update(settings=given, options=options)
        raise ValueError("enough")

    monkeypatch.setattr(train.prepare, "new_run", new_run)
    program, command, *argv = shlex.split(line)
    assert (program, command) == ("espo", "train")
    assert cli.main([command, *argv]) == 2
    expected = {**settings, **{name: value for name, value in trial.settings.items() if name != "algorithm"}}
    assert {name: seen["settings"][name] for name in expected} == expected
    assert seen["options"].algorithm == "crpo"
    assert (seen["options"].backend, seen["options"].num_timesteps) == ("spring", 100)
