"""Stopping and going on: the same numbers to the bit, whatever stopped the run and wherever."""

import json
import os
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from espo_jax.algorithms import espo
from espo_jax.commands import training as training_commands
from espo_jax.training import checkpoints, job, run
from espo_jax.training.restore import restore
from espo_jax.training.run_config import RunConfig
from espo_jax.training.run_directory import read_lines, read_records

from .probe_envs import PointEnv
from .tiny_runs import Quiet, copied, prepare, train

pytestmark = pytest.mark.usefixtures("quick_module")


@pytest.fixture(scope="module")
def alone(tmp_path_factory, quick_module):
    """A run that was left alone: 6 iterations."""
    path = tmp_path_factory.mktemp("alone") / "run"
    result, _ = train(path, settings={"num_iterations": 6})
    assert result["status"] == "finished"
    return path


def go_on(path, **changes):
    about = RunConfig.read(path).changed(changes)
    console = Quiet()
    return run.execute(job.resume(about, PointEnv(), espo.make, path), console), console


def measured(path):
    """All that an iteration measured; how long it took differs."""
    return [{k: v for k, v in line.items() if k != "steps_per_second"} for line in read_records(path / "metrics.jsonl")]


def assert_same_run(one, other):
    assert measured(one) == measured(other)
    assert (one / "policy.npz").read_bytes() == (other / "policy.npz").read_bytes()
    assert (one / "evaluations.jsonl").read_text() == (other / "evaluations.jsonl").read_text()
    results = [json.loads((path / "result.json").read_text()) for path in (one, other)]
    assert results[0]["evaluation"] == results[1]["evaluation"]


def test_a_longer_run_goes_on_where_a_shorter_one_ended(alone, tmp_path):
    train(tmp_path / "run", settings={"num_iterations": 3})
    result, console = go_on(tmp_path / "run", num_iterations=6)
    assert result["status"] == "finished"
    assert "going on after iteration 3" in console.lines[0]
    assert_same_run(tmp_path / "run", alone)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["hyperparams"]["num_iterations"] == 6
    assert config["resumed"][0]["iteration"] == 3
    assert "jax" in config["resumed"][0]["versions"]


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_signals_save_and_the_run_goes_on(alone, tmp_path, which, monkeypatch, capsys):
    """The signal comes while an iteration runs, between two checkpoints."""
    plain = run.iterate

    def iterate(*args):
        for iteration in plain(*args):
            if int(iteration.metrics.iteration) == 3:
                os.kill(os.getpid(), which)
            yield iteration

    monkeypatch.setattr(run, "iterate", iterate)
    path = tmp_path / "run"
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    code = training_commands.execute(prepare(path, settings={"num_iterations": 6}))
    assert code == {signal.SIGTERM: 143, signal.SIGINT: 130}[which]
    printed = capsys.readouterr().err
    assert printed == f"espo: interrupted by {which.name} after iteration 3; go on with: espo train --resume {path}\n"
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
    monkeypatch.undo()
    go_on(path)
    assert_same_run(path, alone)


def test_lines_after_the_checkpoint_come_again(alone, tmp_path):
    """As after kill -9: the last checkpoint is older than metrics.jsonl, whose last line is half written."""
    path = copied(alone, tmp_path / "run")
    (path / "checkpoints" / "6").rename(tmp_path / "away")
    (path / "result.json").unlink()
    with (path / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 7, "env_st')
    go_on(path)
    assert_same_run(path, alone)


def test_a_run_killed_before_its_first_checkpoint_begins_again(alone, tmp_path):
    job_ = prepare(tmp_path / "run", settings={"num_iterations": 6})
    job_.directory.close()
    result, console = go_on(tmp_path / "run")
    assert result["status"] == "finished"
    assert "going on" not in console.lines[0]
    assert_same_run(tmp_path / "run", alone)


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_used(alone, tmp_path, damage):
    path = copied(alone, tmp_path / "run")
    victim = next(iter(sorted((path / "checkpoints" / "6" / "state" / "float32").glob("[0-9]*"))))
    content = bytearray(victim.read_bytes())
    content[5] ^= 1
    victim.write_bytes(content if damage == "flipped" else content[:-4])
    result, console = go_on(path)
    note = next(line for line in console.lines if line.startswith("note: checkpoint 6 is passed over"))
    assert ("float32 has files of" if damage == "truncated" else "its content is not what was saved") in note
    assert "going on after iteration 4" in console.lines[0]
    assert result["status"] == "finished"
    assert len(list((path / "checkpoints").glob("damaged-6-*"))) == 1, "nothing is thrown away"
    assert_same_run(path, alone)


def test_a_signal_in_the_last_evaluation_leaves_a_result_and_the_run_goes_on(alone, tmp_path, monkeypatch, capsys):
    plain = run.Evaluations.now

    def now(self, state, policy, key):
        if policy == run.STOCHASTIC:
            os.kill(os.getpid(), signal.SIGTERM)
        return plain(self, state, policy, key)

    monkeypatch.setattr(run.Evaluations, "now", now)
    path = tmp_path / "a run"
    assert training_commands.execute(prepare(path, settings={"num_iterations": 6}, log="tensorboard")) == 143
    said = capsys.readouterr().err
    assert f"before the last evaluation; go on with: espo train --resume '{path}' --log tensorboard\n" in said
    assert "evaluation" not in json.loads((path / "result.json").read_text())
    monkeypatch.undo()
    go_on(path)
    assert_same_run(path, alone)


def test_what_a_later_iteration_left_behind_is_put_right(tmp_path):
    """The policy of the best safe checkpoint is that one's, and the result of another end is gone."""
    path = tmp_path / "run"
    result, _ = train(path, settings={"cost_limit": 1e6})
    best = result["best_safe"]["iteration"]
    wanted = (path / "policy_best_safe.npz").read_bytes()
    (path / "policy_best_safe.npz").write_bytes((path / "policy.npz").read_bytes()[:-1])
    job_ = job.resume(RunConfig.read(path), PointEnv(), espo.make, path)
    job_.directory.close()
    assert job_.restored.best.iteration == best
    assert (path / "policy_best_safe.npz").read_bytes() == wanted
    assert not (path / "result.json").exists()


def test_no_best_policy_where_no_checkpoint_was_safe(tmp_path):
    path = tmp_path / "run"
    train(path, settings={"cost_limit": 1e-6})
    (path / "policy_best_safe.npz").write_bytes(b"of a future that did not come")
    job.resume(RunConfig.read(path), PointEnv(), espo.make, path).directory.close()
    assert not (path / "policy_best_safe.npz").exists()


def test_evaluations_come_at_their_interval(alone):
    lines = list(read_lines(alone / "evaluations.jsonl"))
    assert [line["iteration"] for line in lines] == [2, 4, 6]
    records = read_records(alone / "metrics.jsonl")
    assert [line["env_steps"] for line in lines] == [records[i]["env_steps"] for i in (1, 3, 5)]
    assert all(line["policy"] == "deterministic" and line["length"] == 16 for line in lines)


def test_a_run_that_is_going_on_is_not_taken_up(tmp_path):
    going = prepare(tmp_path / "run")
    with pytest.raises(OSError, match="is in use by another process"):
        job.resume(RunConfig.read(tmp_path / "run"), PointEnv(), espo.make, tmp_path / "run")
    going.directory.close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cost_limit": (7.0,)}, r"cost_limit is \[7.0\]: the run has 4.0, and goes on with the settings it has"),
        ({"num_envs": 8}, "num_envs is 8: the run has 4"),
        ({"seed": 1}, "seed is 1: the run has 0"),
        ({"algorithm": "crpo"}, "algorithm is crpo: the run has espo"),
        ({"run_dir": "x"}, "run_dir is x: the run has None"),
    ],
)
def test_what_a_run_depends_on_does_not_change(alone, changes, message):
    with pytest.raises(ValueError, match=message):
        RunConfig.read(alone).changed(changes)


def test_what_is_given_as_it_is_passes(alone):
    about = RunConfig.read(alone)
    same = about.changed({"cost_limit": (4.0,), "policy_hidden_sizes": (8,), "task": "point", "discount": 0.995})
    assert same == about
    assert about.changed({"num_timesteps": 9}).num_timesteps == 9


def test_an_annealed_run_keeps_its_horizon(tmp_path):
    about = prepare(tmp_path / "run", settings={"anneal_slack_positive": True}).about
    with pytest.raises(ValueError, match="num_iterations is 9: the run anneals over 4 iterations"):
        about.changed({"num_iterations": 9})


def test_state_survives_the_disk_to_the_bit(tmp_path, key):
    job_ = prepare(tmp_path / "run")
    state = jax.jit(job_.algorithm.init)(key, job_.hyperparams)
    writer = job_.checkpoints()
    writer.save(state, None)
    writer.close()
    like = jax.eval_shape(job_.algorithm.init, key, job_.hyperparams)
    restored = restore(tmp_path / "run" / "checkpoints", like, job_.about.identity(), most=0)
    assert restored.iteration == 0
    assert jax.tree.structure(restored.state) == jax.tree.structure(state)
    for saved, loaded in zip(jax.tree.leaves(state), jax.tree.leaves(restored.state), strict=True):
        assert saved.dtype == loaded.dtype
        assert not getattr(loaded, "weak_type", False)
        np.testing.assert_array_equal(*(jax.random.key_data(x) if x.dtype == key.dtype else x for x in (saved, loaded)))


def test_last_two_and_best_safe_are_kept(tmp_path, key):
    job_ = prepare(tmp_path / "run")
    state = jax.jit(job_.algorithm.init)(key, job_.hyperparams)
    writer = job_.checkpoints()
    rewards_and_costs = [(1.0, 3.0), (5.0, 4.0), (9.0, 4.1), (2.0, 0.0), (3.0, 0.0)]  # the limit is 4
    for i, (reward, cost) in enumerate(rewards_and_costs, start=1):
        line = {"episode_reward": reward, "episode_cost": cost, "cost_limit": 4.0, "episodes_finished": 1}
        assert writer.save(state.replace(iteration=jax.numpy.int32(i)), line) == (i in (1, 2))
    writer.close()
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == ["2", "4", "5"]
    assert writer.best == (2, 5.0)
    assert not checkpoints.is_safe({"episode_cost": [1.0, 5.0], "cost_limit": [4.0, 4.0], "episodes_finished": 3})
    assert not checkpoints.is_safe({"episode_cost": 0.0, "cost_limit": 4.0, "episodes_finished": 0})


@pytest.mark.parametrize(
    ("schedule", "now", "expected"), [((3, 1e9), 6, True), ((3, 1e9), 7, False), ((0, 1e-9), 7, True)]
)
def test_schedule(tmp_path, schedule, now, expected):
    writer = checkpoints.Checkpoints(tmp_path, checkpoints.Schedule.create(*schedule), {})
    assert writer.due(now) == expected
    writer.close()


SCRIPT = """
import resource, sys
sys.path.insert(0, {root!r})
from tests.training.tiny_runs import prepare
from espo_jax.commands import training
job = prepare({path!r}, checkpoint_iterations=1)
if {after}:
    from espo_jax.training import run
    plain = run.iterate
    def iterate(*args):
        for iteration in plain(*args):
            if int(iteration.metrics.iteration) == 3:
                resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
            yield iteration
    run.iterate = iterate
else:
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
sys.exit(training.execute(job))
"""


@pytest.mark.parametrize("after", [False, True])
def test_a_disk_that_takes_no_more_leaves_what_was_written(tmp_path, after):
    """A limit on the size of files stands for a full disk; either before training or in the third iteration."""
    path, root = tmp_path / "run", os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    script = SCRIPT.format(root=root, path=str(path), after=after)
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "true"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.returncode == 4, done.stderr
    error = [line for line in done.stderr.splitlines() if line.startswith("espo:")]
    assert len(error) == 1
    assert "cannot write" in error[0] or "File too large" in error[0]
    assert error[0].endswith(f"go on with: espo train --resume {path}")
    if after:
        lines = measured(path)
        result, _ = go_on(path)
        assert result["status"] == "finished"
        assert measured(path)[: len(lines)] == lines
