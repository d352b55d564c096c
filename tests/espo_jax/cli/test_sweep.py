"""`espo sweep`: exit codes, what is refused, and the summary."""

import signal

import pytest

from espo_jax import cli
from espo_jax.cli.sweep import run
from espo_jax.runs.options import RunOptions
from espo_jax.sweeps.folder import SweepFolder
from espo_jax.sweeps.options import SweepOptions
from espo_jax.sweeps.sweep import Worker
from tests.probe_envs import TINY
from tests.tiny_sweeps import make_env

TASK = "--task safety_reacher --backend spring"


def sweep(path, settings=None, **options):
    given = RunOptions(task="point", preset="none", algorithm="trpo", num_eval_episodes=2)
    return run(SweepOptions(sweep_dir=str(path), **options), given, {**TINY, **(settings or {})}, make_env)


def test_prints_how_it_ended(tmp_path, capsys):
    assert sweep(tmp_path / "sweep", grid=("critic_l2=0.001,3e38",), seeds="0,1") == 3
    printed = capsys.readouterr().out
    assert "2 finished, 2 nonfinite" in printed
    assert "critic_l2 3e+38, seed 1) stops: iteration 1: nan or infinity" in printed
    assert str(tmp_path / "sweep") in printed.replace("\n", "")


def test_a_dry_run_writes_nothing(tmp_path, capsys):
    assert sweep(tmp_path / "sweep", grid=("cost_limit=1,2", "num_envs=2,4"), seeds="0-2", dry_run=True) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "12 lanes, 2 programs, 1 devices"
    assert lines[1].startswith("trpo on point (none): 6 lanes in 1 groups, packs of 1; compiled in")
    assert "for 1,536 samples" in lines[1]
    assert not (tmp_path / "sweep").exists()


def test_a_signal_ends_it_and_the_same_command_goes_on(tmp_path, capsys, monkeypatch):
    turns = iter(range(100))
    take = Worker._save

    def save_and_signal(self, *args):
        take(self, *args)
        if next(turns) == 0:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Worker, "_save", save_and_signal)
    assert sweep(tmp_path / "sweep", grid=("cost_limit=1,2",), lanes_per_group=1) == 130
    assert "--sweep-dir" in capsys.readouterr().err
    assert [row["status"] for row in SweepFolder.open(tmp_path / "sweep").rows()] == ["finished", "running"]
    assert sweep(tmp_path / "sweep", grid=("cost_limit=1,2",), lanes_per_group=1) == 0
    assert "2 finished" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--grid zeta_negativ=1", "axis zeta_negativ: there is no such setting; did you mean zeta_negative?"),
        ("--grid cost_limit=1 --grid cost_limit=2", "grid names cost_limit twice"),
        ("--grid backend=magic", "lane backend=magic: unknown backend 'magic'"),
        ("--grid algorithm=espo,magic", "lane algorithm=magic: algorithm is 'magic': it must be one of espo"),
        (
            "--grid zeta_positive=0.1 --max-zeta-positive 0",
            "lane zeta_positive=0.1: zeta_positive is 0.1: it must",
        ),
        ("--sweep-dir {}", "exists and has no manifest.json: it is no sweep, and is never overwritten"),
        ("--seed 3", "Unrecognized options: --seed"),
        ("--pack-size 0", "pack_size is 0: it must be an integer in [1, 2^31)"),
        ("--num-timesteps 0", "num_timesteps is 0"),
    ],
)
def test_bad_input_is_one_line(flags, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["sweep", *TASK.split(), *flags.format(tmp_path).split()]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "warning" not in line]
    assert len(errors) == 1
    assert message in errors[0]
    assert not list(tmp_path.iterdir())


def test_a_damaged_manifest_is_one_line(tmp_path, capsys):
    (tmp_path / "manifest.json").write_text("{")
    assert cli.main(["sweep", *TASK.split(), "--sweep-dir", str(tmp_path)]) == 2
    assert "manifest.json is damaged: it is not valid JSON" in capsys.readouterr().err
    assert cli.main(["export-lane", str(tmp_path), "a", str(tmp_path / "run")]) == 2
    assert "manifest.json is damaged: it is not valid JSON" in capsys.readouterr().err
