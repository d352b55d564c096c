"""The environments of one run on eight virtual devices: the numbers of one device, and what crosses between devices."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from espo_jax import Config, trpo
from espo_jax.parallel import over_devices
from tests.probe_envs import PointEnv
from tests.slow_cases import slow_but

_ON_EIGHT = """
import json, sys
import jax, numpy as np
from espo_jax import Hyperparams, algorithms
from espo_jax.algorithms.metrics import fetch
from espo_jax.loop import start
from espo_jax.parallel import collectives, over_devices
from espo_jax.presets import resolve
from tests.probe_envs import TINY, PointEnv

env = PointEnv()
given = json.loads(sys.argv[2])
config, values = resolve({**TINY, "num_envs": 16, "base_sample_size": 250, "warmup_iterations": 0, **given}, env)
one = algorithms.make(sys.argv[1], env, config)
hyperparams = Hyperparams.create(**values, config=config)
found = {}
for name, algorithm in (("one", one), ("eight", over_devices(one, jax.devices()))):
    state, step, _ = start(algorithm, hyperparams, jax.random.key(0))
    lines = []
    for _ in range(2):
        state, metrics = step(state, hyperparams)
        lines.append({field: np.asarray(value).tolist() for field, value in fetch(metrics)._asdict().items()})
    params = algorithm.params(state)
    found[name] = {"metrics": lines, "policy": np.asarray(state.policy).tolist()}
    found[name]["devices"] = len(jax.tree.leaves(params)[0].devices())
found["collectives"] = collectives(step)
found["spread"] = [len(x.devices()) for x in (state.env_state.obs, state.policy)]
found["shares"] = [shard.data.shape[0] for shard in state.env_state.obs.addressable_shards]
print(json.dumps(found))
"""

CASES = {
    "espo": ("espo", {"cost_limit": 30.0, "slack_negative": -25.0, "slack_positive": 50.0}),
    "norm_test": ("espo", {"sample_size_rule": "norm_test"}),
    "pcpo": ("pcpo", {"reset_each_iteration": True, "base_sample_size": 512}),
    "cup": ("cup", {"critic_optimizer": "adam", "critic_minibatch_size": 64, "policy_minibatch_size": 64}),
    "ppo_lagrangian": ("ppo_lagrangian", {"policy_minibatch_size": 50}),
}


@pytest.mark.parametrize("case", slow_but(("espo",), CASES))
def test_eight_devices_give_the_numbers_of_one(case):
    name, given = CASES[case]
    flags = "--xla_force_host_platform_device_count=8 " + os.environ.get("XLA_FLAGS", "")
    done = subprocess.run(
        [sys.executable, "-c", _ON_EIGHT, name, json.dumps(given)],
        env={**os.environ, "XLA_FLAGS": flags}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["spread"] == [8, 8]
    assert found["shares"] == [2] * 8
    assert (found["one"]["devices"], found["eight"]["devices"]) == (1, 1)
    for one, eight in zip(found["one"]["metrics"], found["eight"]["metrics"], strict=True):
        for field, value in one.items():
            np.testing.assert_allclose(eight[field], value, rtol=2e-3, atol=1e-4, err_msg=field)
    assert found["one"]["metrics"][0]["sample_size"] == found["eight"]["metrics"][0]["sample_size"]
    np.testing.assert_allclose(found["eight"]["policy"], found["one"]["policy"], rtol=1e-3, atol=1e-4)
    assert any("update_policy" in where for _, where in found["collectives"])
    assert not any("time_steps" in where for _, where in found["collectives"])  # nothing crosses while stepping
    gathered = {where for kind, where in found["collectives"] if kind != "all-reduce"}
    assert all("while" not in where for where in gathered)
    assert bool(gathered) == (name in ("cup", "ppo_lagrangian"))  # minibatches are drawn from all samples


def test_too_few_devices_and_unequal_shares_are_refused():
    algorithm = trpo.make(PointEnv(), Config(num_envs=3))
    with pytest.raises(ValueError, match=r"devices is 99: this machine has \d+ \(cpu\); JAX_NUM_CPU_DEVICES=99 makes"):
        over_devices(algorithm, 99)
    with pytest.raises(ValueError, match="num_envs is 3: it must be a multiple of the number of devices"):
        over_devices(algorithm, [jax.devices()[0]] * 2)
    assert over_devices(algorithm, 1) is algorithm
