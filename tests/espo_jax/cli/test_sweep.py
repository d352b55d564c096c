"""`espo sweep`: exit codes, what is refused, and the summary."""

import signal
import sys

import pytest

from espo_jax import cli
from espo_jax.cli.sweep import run
from espo_jax.runs.options import RunOptions
from espo_jax.sweeps import slurm
from espo_jax.sweeps.folder import SweepFolder
from espo_jax.sweeps.options import SweepOptions
from espo_jax.sweeps.sweep import Worker
from tests.fake_slurm import FakeSlurm
from tests.probe_envs import TINY
from tests.tiny_sweeps import make_env

TASK = "--task safety_reacher --backend mujoco"


def sweep(path, settings=None, **options):
    given = RunOptions(task="point", preset="none", algorithm="trpo", num_eval_episodes=2)
    of_sweep = SweepOptions(sweep_dir=str(path), **options)
    axes = {name for axis in of_sweep.axes() for name in axis.names}
    tiny = {name: value for name, value in TINY.items() if name not in axes}
    return run(of_sweep, given, {**tiny, **(settings or {})}, make_env)


def test_prints_how_it_ended(tmp_path, capsys):
    assert sweep(tmp_path / "sweep", grid=("critic_l2=0.001,3e38",), seeds="0,1") == 3
    printed = capsys.readouterr().out
    assert "2 finished, 2 nonfinite" in printed
    assert "critic_l2 3e+38, seed 1) stops: iteration 1: nan or infinity" in printed
    assert str(tmp_path / "sweep") in "".join(printed.split())


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
        ("--slurm-set qos=", "slurm_set is 'qos=': it must be name=value or name, as a flag of sbatch"),
        ("--slurm-set Qos=high", "slurm_set is 'Qos=high': it must be"),
        ("--slurm-set mem=4G", "slurm_set is 'mem=4G': espo decides mem: give slurm_mem"),
        ("--slurm-set array=0-9", "slurm_set is 'array=0-9': espo decides array"),
        ("--slurm-time 0", "slurm_time is 0: it must be an integer in [1, 2^31)"),
        ("--slurm-mem -1", "slurm_mem is -1: it must lie in (0, 2^20]"),
        ("--launcher slurm --distributed auto", "launcher slurm starts them: give one"),
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


SLURM = f"{TASK} --grid cost_limit=20,40 --lanes-per-group 1 --launcher slurm".split()


def test_slurm_gets_each_group_once(tmp_path, capsys, monkeypatch):
    cluster = FakeSlurm(tmp_path / "bin", monkeypatch)
    argv = ["sweep", *SLURM, "--sweep-dir", str(tmp_path / "sweep")]
    assert cli.main(argv) == 0
    printed = capsys.readouterr().out
    assert "2 groups: 2 to submit" in printed
    assert f"the same command and --sweep-dir {tmp_path / 'sweep'} says how the jobs stand" in printed
    assert cli.main(argv) == 0
    assert "2 groups: 2 PENDING, 0 to submit" in capsys.readouterr().out
    assert len(cluster.scripts()) == 1
    monkeypatch.setattr(slurm.time, "sleep", lambda seconds: cluster.set_states({"1_0": "FAILED", "1_1": "TIMEOUT"}))
    assert cli.main([*argv, "--wait"]) == 5
    ended = capsys.readouterr()
    assert "job 1_1 ended before group-0001 was done: TIMEOUT; its log is" in ended.out
    assert "2 planned" in ended.out
    assert "2 groups are not done: group-0000, group-0001; go on with" in ended.err


def test_a_signal_while_waiting_leaves_the_jobs(tmp_path, capsys, monkeypatch):
    cluster = FakeSlurm(tmp_path / "bin", monkeypatch)
    monkeypatch.setattr(slurm, "wait", lambda *_: signal.raise_signal(signal.SIGINT))
    assert cli.main(["sweep", *SLURM, "--wait", "--sweep-dir", str(tmp_path / "sweep")]) == 130
    assert "interrupted by SIGINT; the jobs stay with SLURM; go on with: the same" in capsys.readouterr().err
    assert cluster.states() == {"1_0": "PENDING", "1_1": "PENDING"}


def test_what_slurm_needs(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli.main(["sweep", *SLURM]) == 2
    assert "launcher slurm needs the command sbatch, which this machine lacks" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert cli.main(["sweep", *SLURM]) == 2
    assert 'launcher slurm needs the package submitit: pip install "espo_jax[slurm]"' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
