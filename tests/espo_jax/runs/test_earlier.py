"""Runs that earlier versions wrote open in this one."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import espo_jax
from espo_jax.algorithms import espo
from espo_jax.results import group_plots
from espo_jax.runs import prepare, run
from espo_jax.runs.run_config import RunConfig

from tests.probe_envs import PointEnv
from tests.tiny_runs import Quiet, copied

pytestmark = pytest.mark.usefixtures("quick_module")
FORMAT_2 = Path(__file__).parent / "data" / "format_2"


def test_a_config_without_later_settings_has_what_was_done_then():
    written = json.loads((FORMAT_2 / "config.json").read_text())["config"]
    config = RunConfig.read(FORMAT_2).config
    assert {name: config[name] for name in set(config) - set(written)} == {
        "time_limit": "truncation", "activation": "tanh", "cost_advantages": "standardize",
    }  # fmt: skip
    assert {name: config[name] for name in written} == written


def test_a_policy_of_an_earlier_version_acts():
    action, _ = espo_jax.load_policy(FORMAT_2, deterministic=True)(jnp.zeros((3, 1)))
    assert action.shape == (3, 1)
    assert np.isfinite(action).all()


def test_metrics_of_an_earlier_version_are_read():
    assert len(group_plots.read(FORMAT_2).records) == 4


def test_a_run_of_an_earlier_version_goes_on(tmp_path):
    """Its 32-bit counter, its rollout in time steps, and its band of no width, which is refused in new runs."""
    path = copied(FORMAT_2, tmp_path / "run")
    about = RunConfig.read(path).changed({"num_iterations": 6})
    prepared = prepare.resume(about, PointEnv(), espo.make, path)
    before = prepared.restored.state
    lines = [json.loads(line) for line in (FORMAT_2 / "metrics.jsonl").read_text().splitlines()]
    assert int(before.env_steps) == lines[-1]["env_steps"]
    assert int(before.sample_size) == 44, "11 time steps of 4 environments, as the earlier version rounded"
    result = run.execute(prepared, Quiet())
    assert result["status"] == "finished"
    records = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in records] == [1, 2, 3, 4, 5, 6]
    assert records[:4] == lines
    assert records[4]["env_steps"] == lines[-1]["env_steps"] + 44
    assert records[5]["sample_size"] == 45, "from then on it is exact"
