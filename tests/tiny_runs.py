"""Runs of seconds, with checkpoints after iterations 2 and 4; those that several files read are trained once."""

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from espo_jax.cli import compare as compare_command
from espo_jax.results.compare import CompareOptions
from espo_jax.runs import prepare, run
from espo_jax.runs.options import RunOptions
from espo_jax.runs.records import read_metrics, readable
from espo_jax.runs.run_config import RunConfig
from tests.probe_envs import TINY, PointEnv
from tests.shared_programs import shared

DATA = Path(__file__).parent / "data"


class Windy(PointEnv):
    """Another physics of the same task."""

    backend = "windy"

    def step(self, state, action):
        return super().step(state, action - 0.5)


def on_physics(backend):
    return Windy() if backend == "windy" else PointEnv()


class Quiet:
    """A console that keeps what it is told."""

    is_terminal = False

    def __init__(self):
        self.lines = []

    def print(self, *objects, **_):
        self.lines.extend(map(str, objects))


def prepared(path, env=None, **options):
    """A prepared run on PointEnv in a folder; options are those of RunOptions, and settings."""
    settings = {**TINY, **options.pop("settings", {})}
    given = {"num_eval_episodes": 2, "eval_interval": 2, "checkpoint_iterations": 2, **options}
    return prepare.new_run(env or PointEnv(), settings, RunOptions(task="point", run_dir=str(path), **given))


def train(path, **options):
    console = Quiet()
    return run.execute(prepared(path, **options), console), console


def resumed(path, env=None, **changes):
    """A prepared run that goes on, with changed settings."""
    return prepare.resume(RunConfig.read(path).changed(changes), env or PointEnv(), path)


def go_on(path, env=None, **changes):
    console = Quiet()
    return run.execute(resumed(path, env, **changes), console), console


def copied(source, target):
    shutil.copytree(source, target)
    return target


def measured(path):
    """All that the iterations of a run measured; how long they took differs."""
    return [
        {k: v for k, v in line.items() if k != "steps_per_second"}
        for line in readable(read_metrics(path / "metrics.jsonl"))
    ]


def strict_loads(text):
    """json.loads without the NaN and Infinity that Python adds to JSON."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


@functools.cache
def finished(num_iterations=4):
    """Folder of a finished run on PointEnv, trained once in a process; tests that change it take a copy."""
    path = folder_of_this_process() / "run"
    with shared():
        result, _ = train(path, settings={"num_iterations": num_iterations})
    assert result["status"] == "finished"
    return path


@functools.cache
def compared():
    """Exit code, printed objects and folder of a comparison of two algorithms, two seeds each."""
    path = folder_of_this_process() / "compared"
    printed = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Console, "print", lambda self, *objects, **_: printed.extend(objects))
        options = CompareOptions(
            task="point", preset="none", algorithms="espo, trpo", seeds="2", run_dir=str(path), num_eval_episodes=2
        )
        code = compare_command.compare(options, {**TINY, "slack_negative": -np.inf}, lambda *_: PointEnv())
    return code, printed, path


def folder_of_this_process():
    """A new folder that is removed when the process ends."""
    path = Path(tempfile.mkdtemp(prefix="espo-jax-run-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path
