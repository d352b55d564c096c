"""Exported policies do what the original does, on 1,000 observations, without espo_jax."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from espo_jax import cli, load_policy
from tests.tiny_runs import prepared


@pytest.fixture(scope="module", params=[True, False], ids=["whitened", "raw"])
def run_dir(request, tmp_path_factory):
    """A run with its first policy, and a normaliser that has seen something."""
    path = tmp_path_factory.mktemp("exported") / "run"
    settings = {"policy_hidden_sizes": (8, 5), "normalize_observations": request.param, "observation_clip": 1.5}
    run = prepared(path, settings=settings)
    normalizer, policy, critics = run.algorithm.params(run.algorithm.init(jax.random.key(0), run.hyperparams))
    normalizer = normalizer.replace(mean=jnp.full(1, 0.3), std=jnp.full(1, 1.7))
    run.directory.save_params((normalizer, policy, critics))
    run.directory.close()
    return path


@pytest.fixture(scope="module")
def observations():
    return np.random.default_rng(0).normal(scale=3.0, size=(1000, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def actions(run_dir, observations):
    return np.asarray(load_policy(run_dir, deterministic=True)(observations)[0])


def test_both_formats_act_as_the_original(run_dir, observations, actions, tmp_path, capsys):
    assert np.ptp(actions) > 1e-3
    assert cli.main(["export", str(run_dir), "--formats", "stablehlo,onnx", "--output", str(tmp_path)]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "policy.stablehlo"), str(tmp_path / "policy.onnx")]

    np.save(tmp_path / "observations.npy", observations)
    script = """
import sys
sys.modules["espo_jax"] = None
import jax, numpy as np
folder = sys.argv[1]
policy = jax.export.deserialize(bytearray(open(folder + "/policy.stablehlo", "rb").read()))
observations = np.load(folder + "/observations.npy")
assert policy.call(observations[:3]).shape == (3, 1)
np.save(folder + "/actions.npy", policy.call(observations))
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    np.testing.assert_allclose(np.load(tmp_path / "actions.npy"), actions, rtol=1e-5, atol=1e-6)

    import onnxruntime

    session = onnxruntime.InferenceSession(tmp_path / "policy.onnx")
    for part in (slice(None), slice(3)):
        found = session.run(["action"], {"observation": observations[part]})[0]
        np.testing.assert_allclose(found, actions[part], rtol=1e-5, atol=1e-6)
