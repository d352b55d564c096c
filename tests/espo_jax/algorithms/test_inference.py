"""From parameters to a policy that acts."""

import jax.numpy as jnp
import numpy as np
import pytest

from espo_jax import Config, normalize
from espo_jax.algorithms.inference import inference_fn
from tests import references
from tests.problems import compiled, hyperparams, make_problem, with_mean


def test_inference_function_acts_like_the_policy(key):
    algorithm, init, _ = compiled("espo")
    state = with_mean(algorithm, init(key, hyperparams()), (0.5, -0.25))
    policy = algorithm.make_inference_fn(algorithm.params(state), deterministic=True)
    np.testing.assert_allclose(policy(jnp.ones((3, 1)), key)[0], np.tile([0.5, -0.25], (3, 1)), rtol=1e-6)
    noisy = algorithm.make_inference_fn(algorithm.params(state))
    assert not jnp.allclose(noisy(jnp.ones(1), key)[0], jnp.array([0.5, -0.25]))
    with pytest.raises(ValueError, match="key"):
        noisy(jnp.ones(1))


@pytest.mark.parametrize("normalized", [True, False])
def test_it_whitens_as_in_training_and_gives_the_density_of_its_action(normalized, key):
    p = make_problem(24)
    config = Config(normalize_observations=normalized, observation_clip=0.75)
    normalizer = normalize.update(normalize.init(4), 2 * p.observation + 1, jnp.ones(p.mask.shape, bool))
    params = (normalizer, p.networks.unravel_policy(p.params), None)
    observation = p.observation[0]
    action, extras = inference_fn(p.networks, config)(params)(observation, key)
    whitened = np.clip((np.asarray(observation) - normalizer.mean) / normalizer.std, -0.75, 0.75)
    mean, log_std = p.networks.policy(p.params, whitened if normalized else observation)
    expected = references.gaussian_log_prob(np.asarray(mean), np.asarray(log_std), np.asarray(action))
    np.testing.assert_allclose(extras["log_prob"], expected, rtol=1e-4)
