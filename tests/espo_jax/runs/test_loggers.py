"""What TensorBoard and Weights & Biases are told is what metrics.jsonl has."""

import math
import struct
import sys
from types import SimpleNamespace

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from espo_jax import cli
from espo_jax.runs import loggers, run
from espo_jax.runs.records import read_evaluations, read_metrics, readable
from tests.tiny_runs import Quiet, go_on, prepared, train

pytestmark = pytest.mark.usefixtures("shared_programs")


def raw_events(path):
    content, place = path.read_bytes(), 0
    while place < len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        yield Event.FromString(content[place + 12 : place + 12 + length])
        place += length + 16


def events(folder):
    """{name: {step: value}} of TensorBoard's files, the later file over the earlier."""
    found = {}
    for path in sorted(folder.iterdir(), key=lambda p: p.stat().st_mtime):
        for event in raw_events(path):
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


def test_tensorboard_has_every_line_also_of_a_run_that_goes_on(tmp_path):
    path = tmp_path / "run"
    train(path, log="tensorboard", settings={"num_iterations": 3})
    go_on(path, num_iterations=4, log="tensorboard")
    found = events(path / "tensorboard")
    records = readable(read_metrics(path / "metrics.jsonl"))
    assert len(records) == 4
    for name in ("episode_cost", "sample_size", "kl", "steps_per_second"):
        logged = found[f"training/{name}"]
        assert list(logged) == [record["env_steps"] for record in records]
        assert list(logged.values()) == pytest.approx([record[name] for record in records], rel=1e-6)
    evaluations = readable(read_evaluations(path / "evaluations.jsonl"))
    assert list(found["eval/cost"].values()) == pytest.approx([line["cost"] for line in evaluations], rel=1e-6)


def test_weights_and_biases_is_told_the_settings_and_every_line(tmp_path, monkeypatch):
    told = SimpleNamespace(rows=[], finished=0)
    fake = SimpleNamespace(log=lambda values, step: told.rows.append((step, values)))
    fake.finish = lambda: setattr(told, "finished", told.finished + 1)
    module = SimpleNamespace(init=lambda **given: setattr(told, "given", given) or fake, __spec__=SimpleNamespace())
    monkeypatch.setitem(sys.modules, "wandb", module)
    train(tmp_path / "run", log="wandb", num_eval_episodes=0)
    assert told.given["name"] == "run"
    assert told.given["config"]["cost_limit"] == 4.0
    records = readable(read_metrics(tmp_path / "run" / "metrics.jsonl"))
    assert [step for step, _ in told.rows] == [record["env_steps"] for record in records]
    assert told.rows[-1][1]["training/episode_reward"] == records[-1]["episode_reward"]
    assert told.finished == 1


def test_what_is_logged_again_is_purged_also_from_the_very_beginning(tmp_path):
    logged = []
    for first_step, steps in ((None, (64, 108)), (0, (64,)), (64, (108, 152))):
        (logger,) = loggers.open_loggers(("tensorboard",), tmp_path, {}, first_step=first_step)
        for step in steps:
            logger.log(step, {"x": step})
        logger.close()
        newest = max((tmp_path / "tensorboard").iterdir(), key=lambda p: p.stat().st_mtime_ns)
        logged.append([(e.step, e.session_log.status) for e in raw_events(newest)][1:])
        newest.rename(tmp_path / f"{len(logged)}")  # this process writes all three
    start = SessionLog.START
    assert logged == [[(64, 0), (108, 0)], [(1, start), (64, 0)], [(65, start), (108, 0), (152, 0)]]


def wandb_like(monkeypatch):
    """As Weights & Biases does: init gives the run that is open, unless it is told to create one."""
    runs = []

    def init(**given):
        if runs and given.get("reinit") != "create_new":
            return runs[-1]
        rows = []
        runs.append(SimpleNamespace(given=given, rows=rows, log=lambda values, step: rows.append(step), finish=int))
        return runs[-1]

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init, __spec__=SimpleNamespace()))
    return runs


def test_every_seed_is_a_run_of_weights_and_biases_and_stays_it(tmp_path, monkeypatch):
    runs = wandb_like(monkeypatch)
    for folder in ("a", "b", "a"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (logger,) = loggers.open_loggers(("wandb",), tmp_path / folder, {})
        logger.log(1, {})
    assert [run.rows for run in runs] == [[1], [1], [1]]
    first, other, again = (run.given["id"] for run in runs)
    assert first == again != other
    assert all(run.given["resume"] == "allow" for run in runs)


def test_a_logger_that_does_not_start_is_one_error_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    def init(**_):
        raise RuntimeError("No API key configured.\nUse wandb login")

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init, __spec__=SimpleNamespace()))
    path = tmp_path / "run"
    assert cli.main(["train", "--backend", "mujoco", "--log", "tensorboard,wandb", "--run-dir", str(path)]) == 2
    assert (
        capsys.readouterr().err == "espo: error: log wandb cannot be opened: No API key configured. Use wandb login\n"
    )
    assert not path.exists()


def test_a_logger_that_fails_on_the_way_does_not_end_the_run(tmp_path, capsys):
    def fail(step, values):
        raise OSError("no network")

    failing = prepared(tmp_path / "run", num_eval_episodes=0)
    failing.directory.loggers = [SimpleNamespace(log=fail, close=int)]
    assert run.execute(failing, Quiet())["status"] == "finished"
    assert capsys.readouterr().err.count("logs no more (no network)") == 1


def test_lists_modes_and_counts_become_scalars_and_infinities_are_left_out():
    record = {
        "mode": "conflict", "episode_cost": [1.0, 2.0], "mode_counts": {"reward": 3}, "nan": None, "policy": "x",
        "slack_negative": -math.inf,
    }  # fmt: skip
    assert loggers.scalars(record, "training/") == {
        "training/mode": 3, "training/episode_cost/0": 1.0, "training/episode_cost/1": 2.0,
        "training/mode_counts/reward": 3.0,
    }  # fmt: skip


@pytest.mark.parametrize("command", ["train", "compare"])
@pytest.mark.parametrize(
    ("name", "message"),
    [("mlflow", "log is 'mlflow': it must be among tensorboard, wandb"), ("wandb", 'pip install "espo_jax[wandb]"')],
)
def test_unknown_or_missing_loggers_are_refused_first(command, name, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loggers.importlib.util, "find_spec", lambda package: None)
    assert cli.main([command, "--backend", "mujoco", "--log", name]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
