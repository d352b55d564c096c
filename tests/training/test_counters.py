"""A run counts its samples exactly up to 1e12: in the state, metrics, checkpoints, loggers and the budget."""

import json

import jax
import numpy as np
import pytest
from brax.training.types import UInt64

from espo_jax.algorithms import espo
from espo_jax.training import checkpoints, job, overlay, run
from espo_jax.training.restore import from_arrays
from espo_jax.training.run_config import RunConfig

from .probe_envs import PointEnv
from .test_loggers import events
from .tiny_runs import Quiet, prepare, train

pytestmark = pytest.mark.usefixtures("quick_module")
START = 10**12 - 1


def test_a_run_that_is_near_1e12_samples(tmp_path, monkeypatch):
    """It starts there, is stopped by num_timesteps, goes on from its checkpoint, and no place loses a sample."""
    plain = run.start

    def start(algorithm, hyperparams, key, state=None):
        started = plain(algorithm, hyperparams, key, state)
        if state is None:
            before = UInt64(hi=START >> 32, lo=START & 0xFFFFFFFF)
            started = started._replace(state=started.state.replace(env_steps=before))
        return started

    monkeypatch.setattr(run, "start", start)
    path = tmp_path / "run"
    result, _ = train(path, num_timesteps=START + 100, log="tensorboard", settings={"num_iterations": 50})
    assert result["status"] == "finished"
    about = RunConfig.read(path).changed({"num_timesteps": START + 200})
    prepared = job.resume(about, PointEnv(), espo.make, path, log="tensorboard")
    result = run.execute(prepared, Quiet())

    records = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    expected = (START + np.cumsum([line["sample_size"] for line in records])).tolist()
    assert [line["env_steps"] for line in records] == expected
    assert expected[-2] < START + 200 <= expected[-1]
    assert START + 100 <= int(prepared.restored.state.env_steps) == expected[prepared.restored.iteration - 1]
    assert result["env_steps"] == expected[-1]
    assert list(events(path / "tensorboard")["training/kl"]) == expected
    assert [line["env_steps"] for line in overlay.read(path).records] == expected


def test_the_counter_survives_a_checkpoint_s_arrays(tmp_path):
    prepared = prepare(tmp_path / "run")
    prepared.directory.close()
    state = prepared.algorithm.init(jax.random.key(0), prepared.hyperparams)
    state = state.replace(env_steps=UInt64(hi=10**12 >> 32, lo=10**12 & 0xFFFFFFFF))
    like = jax.eval_shape(prepared.algorithm.init, jax.random.key(0), prepared.hyperparams)
    assert int(from_arrays(checkpoints.to_arrays(state), like).env_steps) == 10**12
