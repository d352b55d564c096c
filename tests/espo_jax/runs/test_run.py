"""However a run ends, what was there before is kept and the run can go on: signals, a full disk, 1e12 samples."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from brax.training.types import UInt64

from espo_jax.cli import train as train_command
from espo_jax.evaluation import STOCHASTIC
from espo_jax.results.read import read_run
from espo_jax.runs import output, run
from espo_jax.runs.signals import SIGNALS, Stop, finish_first
from tests.espo_jax.runs.test_loggers import events
from tests.slow_cases import slow_but
from tests.tiny_runs import Quiet, finished, go_on, measured, prepared, resumed, train

pytestmark = pytest.mark.usefixtures("shared_programs")

NEAR_1E12 = 10**12 - 1


@pytest.fixture
def alone():
    """A run that was left alone: 6 iterations."""
    return finished(num_iterations=6)


@pytest.mark.parametrize("which", SIGNALS)
def test_signals_save_and_the_run_goes_on(alone, tmp_path, which, monkeypatch, capsys, same_run):
    """The signal comes while an iteration runs, between two checkpoints."""
    plain = run.iterate

    def iterate(*args):
        for iteration in plain(*args):
            if int(iteration.metrics.iteration) == 3:
                os.kill(os.getpid(), which)
            yield iteration

    monkeypatch.setattr(run, "iterate", iterate)
    path = tmp_path / "run"
    before = [signal.getsignal(each) for each in SIGNALS]
    with finish_first() as stop:
        code = train_command.execute(prepared(path, settings={"num_iterations": 6}), stop)
    assert code == {"SIGTERM": 143, "SIGINT": 130, "SIGHUP": 129}[which.name]
    printed = capsys.readouterr().err
    assert printed == f"espo: interrupted by {which.name} after iteration 3; go on with: espo train --resume {path}\n"
    assert [signal.getsignal(each) for each in SIGNALS] == before
    monkeypatch.undo()
    go_on(path)
    same_run(path, alone)


def test_a_signal_in_the_last_evaluation_leaves_a_result_and_the_run_goes_on(
    alone, tmp_path, monkeypatch, capsys, same_run
):
    plain = run.Evaluations.now

    def now(self, state, policy):
        if policy == STOCHASTIC:
            os.kill(os.getpid(), signal.SIGTERM)
        return plain(self, state, policy)

    monkeypatch.setattr(run.Evaluations, "now", now)
    path = tmp_path / "a run"
    with finish_first() as stop:
        run_to_do = prepared(path, settings={"num_iterations": 6}, log="tensorboard")
        assert train_command.execute(run_to_do, stop) == 143
    said = capsys.readouterr().err
    assert f"before the last evaluation; go on with: espo train --resume '{path}' --log tensorboard\n" in said
    assert "evaluation" not in json.loads((path / "result.json").read_text())
    monkeypatch.undo()
    go_on(path)
    same_run(path, alone)


def test_no_place_loses_a_sample_near_1e12(tmp_path, monkeypatch):
    """The run starts there, is stopped by num_timesteps, and goes on from its checkpoint."""
    plain = run.start

    def start(algorithm, hyperparams, key, state=None):
        started = plain(algorithm, hyperparams, key, state)
        if state is None:
            before = UInt64(hi=NEAR_1E12 >> 32, lo=NEAR_1E12 & 0xFFFFFFFF)
            started = started._replace(state=started.state.replace(env_steps=before))
        return started

    monkeypatch.setattr(run, "start", start)
    path = tmp_path / "run"
    result, _ = train(path, num_timesteps=NEAR_1E12 + 100, log="tensorboard", settings={"num_iterations": 50})
    assert result["status"] == "finished"
    again = resumed(path, num_timesteps=NEAR_1E12 + 200, log="tensorboard")
    result = run.execute(again, Quiet())

    records = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    expected = (NEAR_1E12 + np.cumsum([line["sample_size"] for line in records])).tolist()
    assert [line["env_steps"] for line in records] == expected
    assert expected[-2] < NEAR_1E12 + 200 <= expected[-1]
    assert NEAR_1E12 + 100 <= int(again.restored.state.env_steps) == expected[again.restored.iteration - 1]
    assert result["env_steps"] == expected[-1]
    assert list(events(path / "tensorboard")["training/kl"]) == expected
    assert [line["env_steps"] for line in read_run(path).records] == expected


@pytest.mark.parametrize("change", ["renamed", "deleted"])
def test_a_run_directory_that_goes_ends_the_run_and_nothing_is_written_elsewhere(tmp_path, change, monkeypatch, capsys):
    plain = run.iterate
    path = tmp_path / "run"

    def iterate(*args):
        for iteration in plain(*args):
            if int(iteration.metrics.iteration) == 3:
                while any(path.glob("checkpoints/*tmp*")) or not (path / "checkpoints" / "2").exists():
                    time.sleep(0.01)  # what orbax is writing just then it would write to the old place
                path.rename(tmp_path / "moved")
                if change == "deleted":  # orbax may be writing to it
                    shutil.rmtree(tmp_path / "moved", ignore_errors=True)
            yield iteration

    monkeypatch.setattr(run, "iterate", iterate)
    assert train_command.execute(prepared(path, settings={"num_iterations": 6}), Stop()) == 4
    said = capsys.readouterr().err
    assert f"espo: run directory {path} was renamed or deleted while the run wrote to it; where it is now, it" in said
    assert not path.exists()
    monkeypatch.undo()
    if change == "renamed":
        result, _ = go_on(tmp_path / "moved")
        assert result["status"] == "finished"


def test_an_error_that_nobody_expects_still_saves(alone, tmp_path, monkeypatch, same_run):
    plain = run.iterate

    def iterate(*args):
        for iteration in plain(*args):
            yield iteration
            if int(iteration.metrics.iteration) == 3:
                raise MemoryError

    monkeypatch.setattr(run, "iterate", iterate)
    path = tmp_path / "run"
    with pytest.raises(MemoryError):
        train(path, settings={"num_iterations": 6})
    assert (path / "checkpoints" / "3").is_dir()
    monkeypatch.undo()
    go_on(path)
    same_run(path, alone)


def test_console_output_that_is_lost_is_noted_in_the_result(alone, tmp_path, monkeypatch, same_run):
    """A pipe whose reader goes away after the first line."""
    path = tmp_path / "run"
    reader, writer = os.pipe()
    monkeypatch.setattr(sys, "stdout", os.fdopen(writer, "w"))
    plain = run.iterate

    def iterate(*args):
        os.close(reader)
        yield from plain(*args)

    monkeypatch.setattr(run, "iterate", iterate)
    with output.guarded():
        assert train_command.execute(prepared(path, settings={"num_iterations": 6}), Stop()) == 0
    assert json.loads((path / "result.json").read_text())["lost_output"] == "standard output: Broken pipe"
    assert json.loads((alone / "result.json").read_text())["lost_output"] is None
    same_run(path, alone)


SCRIPT = """
import resource, sys
sys.path.insert(0, {root!r})
from tests.tiny_runs import prepared
from espo_jax.cli import train
from espo_jax.runs import output
from espo_jax.runs.signals import Stop
run_to_do = prepared({path!r}, checkpoint_iterations=1)
if {after}:
    from espo_jax.runs import run
    plain = run.iterate
    def iterate(*args):
        for iteration in plain(*args):
            if int(iteration.metrics.iteration) == 3:
                resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
            yield iteration
    run.iterate = iterate
else:
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
with output.guarded():
    code = train.execute(run_to_do, Stop())
sys.exit(code)
"""


@pytest.mark.parametrize("after", slow_but([True], [False, True]))
def test_a_disk_that_takes_no_more_leaves_what_was_written(tmp_path, after):
    """A limit on the size of files stands for a full disk; either before training or in the third iteration."""
    path, root = tmp_path / "run", str(Path(__file__).parents[3])
    script = SCRIPT.format(root=root, path=str(path), after=after)
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "true"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.returncode == 4, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("espo: cannot write")
    assert "File too large" in done.stderr
    assert done.stderr.endswith(f"go on with: espo train --resume {path}\n")
    if after:
        lines = measured(path)
        result, _ = go_on(path)
        assert result["status"] == "finished"
        assert measured(path)[: len(lines)] == lines
