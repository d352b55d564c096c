"""The policy of a run acts as it was trained."""

import jax
import numpy as np
import pytest

from espo_jax import espo, load_policy
from espo_jax.config import Config
from espo_jax.runs import policies
from espo_jax.runs.run_config import RunConfig
from tests.probe_envs import PointEnv


def test_it_acts(intact):
    action, _ = load_policy(intact, deterministic=True)(np.zeros((5, 1), np.float32))
    assert action.shape == (5, 1)
    with pytest.raises(ValueError, match="a stochastic policy needs one"):
        load_policy(intact)(np.zeros((5, 1), np.float32))


def test_its_parameters_are_those_of_the_algorithm(intact):
    config = Config(**RunConfig.read(intact).config)
    policy = espo.make(PointEnv(), config).make_inference_fn(policies.load_params(intact), deterministic=True)
    observations = np.linspace(-1, 1, 5, dtype=np.float32)[:, None]
    action, _ = policy(observations, jax.random.key(0))
    assert np.isfinite(action).all()
    np.testing.assert_array_equal(action, load_policy(intact, deterministic=True)(observations)[0])
