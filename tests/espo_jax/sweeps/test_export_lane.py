"""A lane as an ordinary run directory: the same run as if it had been trained alone, and it goes on."""

import numpy as np
import pytest

from espo_jax import load_policy
from espo_jax.results.evaluate import evaluate
from espo_jax.results.read import read_run
from espo_jax.runs.run_config import RunConfig
from espo_jax.runs.signals import Interrupted
from espo_jax.sweeps.export_lane import export_lane
from espo_jax.sweeps.folder import SweepFolder
from tests.espo_jax.sweeps.test_sweep import Signal
from tests.probe_envs import PointEnv
from tests.tiny_runs import go_on, measured, strict_loads, train
from tests.tiny_sweeps import limits, make_env, swept, work


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The second lane: limit 1, seed 1."""
    path = tmp_path_factory.mktemp("exported") / "run"
    lane = export_lane(swept(), swept().manifest.lanes[1].id, path, make_env)
    assert lane.config.options.seed == 1
    return path


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    path = tmp_path_factory.mktemp("alone") / "run"
    train(path, algorithm="trpo", preset="none", seed=1, settings={"cost_limit": 1.0}, eval_interval=0)
    return path


def test_it_is_the_run_that_was_trained_alone(exported, alone):
    assert measured(exported) == measured(alone)
    mine, other = (strict_loads((path / "result.json").read_text()) for path in (exported, alone))
    differing = {"seconds", "compile_seconds", "best_safe"}
    for result in (mine, other):
        for name in differing:
            del result[name]
    assert mine == other
    assert RunConfig.read(exported).identity() == RunConfig.read(alone).identity()
    assert strict_loads((exported / "config.json").read_text())["sweep"]["lane"] == swept().manifest.lanes[1].id
    observation = np.ones((3, 1), np.float32)
    actions = [load_policy(path, deterministic=True)(observation)[0] for path in (exported, alone)]
    np.testing.assert_array_equal(*actions)
    assert (exported / "curves.png").stat().st_size > 20_000


def test_it_goes_on_as_the_other_one_does(exported, alone):
    for path in (exported, alone):
        result, _ = go_on(path, num_iterations=6)
        assert result["status"] == "finished"
    assert measured(exported) == measured(alone)
    assert len(measured(exported)) == 6


def test_readers_take_it_for_a_run(exported):
    assert read_run(exported).config.options.task == "point"
    rows = evaluate(exported, lambda backend: PointEnv(), ["none"], num_episodes=3)
    assert [row["episodes"] for row in rows] == [3, 3]


def test_a_lane_that_is_not_done_is_exported_as_far_as_it_is(tmp_path):
    folder = SweepFolder.plan(tmp_path / "sweep", limits(), lanes_per_group=4)
    lane = folder.manifest.lanes[0].id
    with pytest.raises(ValueError, match=f"lane {lane} has not begun"):
        export_lane(folder, lane, tmp_path / "run", make_env)
    with pytest.raises(Interrupted):
        work(folder, Signal(3))
    export_lane(folder, lane, tmp_path / "run", make_env)
    assert len(measured(tmp_path / "run")) < 4
    assert not (tmp_path / "run" / "result.json").exists()
    go_on(tmp_path / "run")
    record = swept().read_metrics(swept().manifest.groups[0], lane=lane).sort_by("iteration").to_pylist()[-1]
    assert measured(tmp_path / "run")[-1]["episode_reward"] == record["episode_reward"]


def test_what_cannot_be_exported_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"lane is 'xyz': .* has no lane whose name begins so; lanes.parquet has"):
        export_lane(swept(), "xyz", tmp_path / "run", make_env)
    with pytest.raises(ValueError, match=r"lane is '': .* has 4 lanes whose name begins so"):
        export_lane(swept(), "", tmp_path / "run", make_env)
    (tmp_path / "taken").mkdir()
    with pytest.raises(FileExistsError):
        export_lane(swept(), swept().manifest.lanes[0].id, tmp_path / "taken", make_env)
