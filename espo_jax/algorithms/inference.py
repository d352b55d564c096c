"""The policy as a function that acts, from parameters."""

from collections.abc import Callable
from typing import Any

import jax
from jax.flatten_util import ravel_pytree

from espo_jax import policy
from espo_jax.algorithms.batch import whiten
from espo_jax.config import Config
from espo_jax.networks import Networks


def inference_fn(networks: Networks, config: Config) -> Callable[..., Callable]:
    """Brax's make_inference_fn: (params, deterministic=False) -> policy(obs, key) -> (action, extras).

    Args:
      networks: networks of the algorithm.
      config: static settings; they say whether and how observations are whitened.
    """

    def make_inference_fn(params: tuple[Any, Any, Any], deterministic: bool = False) -> Callable:
        normalizer, variables, _ = params
        flat, _ = ravel_pytree(variables)

        def act(observation: jax.Array, key: jax.Array | None = None) -> tuple[jax.Array, dict[str, jax.Array]]:
            distribution = networks.policy(flat, whiten(config, normalizer, observation))
            if deterministic:
                action = distribution.mean
            elif key is None:
                raise ValueError("key is None: a stochastic policy needs one (or deterministic=True)")
            else:
                action = policy.sample(key, distribution)
            return action, {"log_prob": policy.log_prob(distribution, action)}

        return act

    return make_inference_fn
