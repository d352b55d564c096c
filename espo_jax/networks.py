"""The networks of an algorithm as plain functions of flat parameters."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from espo_jax.config import Config
from espo_jax.critic import Critic
from espo_jax.policy import Gaussian, GaussianPolicy


class Networks(NamedTuple):
    """Policy and critics, with K constraints.

    Args:
      policy_of_whitened: (params [P], whitened observation [..., O]) -> Gaussian of [..., A].
      critic_of_whitened: (params [P'], whitened observation [..., O]) -> value [...].
      init_policy: key -> parameters [P].
      init_critics: key -> parameters [1 + K, P'], the reward's critic first.
      unravel_policy: parameters [P] -> flax variables.
      unravel_critic: parameters [P'] -> flax variables.
      num_constraints: K, number of constraints.
      whiten: observation [..., O] -> what the networks see of it.
    """

    policy_of_whitened: Callable[[jax.Array, jax.Array], Gaussian]
    critic_of_whitened: Callable[[jax.Array, jax.Array], jax.Array]
    init_policy: Callable[[jax.Array], jax.Array]
    init_critics: Callable[[jax.Array], jax.Array]
    unravel_policy: Callable[[jax.Array], Any]
    unravel_critic: Callable[[jax.Array], Any]
    num_constraints: int
    whiten: Callable[[jax.Array], jax.Array] = lambda observation: observation

    def policy(self, params: jax.Array, observation: jax.Array) -> Gaussian:
        """Policy with parameters [P] at observations [..., O]."""
        return self.policy_of_whitened(params, self.whiten(observation))

    def critic(self, params: jax.Array, observation: jax.Array) -> jax.Array:
        """Values [...] of observations [..., O] by the critic with parameters [P']."""
        return self.critic_of_whitened(params, self.whiten(observation))


def make_networks(observation_size: int, action_size: int, num_constraints: int, config: Config) -> Networks:
    """Build the networks; they hold no parameters yet.

    Args:
      observation_size: O, size of an observation.
      action_size: A, size of an action.
      num_constraints: K, number of constraints.
      config: static settings, of which hidden sizes, activation and initial_log_std are used.
    """
    observation = jnp.zeros((observation_size,))
    policy_net = GaussianPolicy(
        action_size, config.policy_hidden_sizes, config.initial_log_std, activation=config.activation
    )
    critic_net = Critic(config.critic_hidden_sizes, activation=config.activation)
    unravel_policy = _unraveler(policy_net, observation)
    unravel_critic = _unraveler(critic_net, observation)

    def init_critics(key: jax.Array) -> jax.Array:
        keys = jax.random.split(key, 1 + num_constraints)
        return jax.vmap(lambda k: ravel_pytree(critic_net.init(k, observation))[0])(keys)

    def policy(params: jax.Array, observation: jax.Array) -> Gaussian:
        distribution: Any = policy_net.apply(unravel_policy(params), observation)
        return distribution

    def critic(params: jax.Array, observation: jax.Array) -> jax.Array:
        value: Any = critic_net.apply(unravel_critic(params), observation)
        return value[..., 0]

    return Networks(
        policy_of_whitened=policy,
        critic_of_whitened=critic,
        init_policy=lambda key: ravel_pytree(policy_net.init(key, observation))[0],
        init_critics=init_critics,
        unravel_policy=unravel_policy,
        unravel_critic=unravel_critic,
        num_constraints=num_constraints,
    )


def _unraveler(network: nn.Module, observation: jax.Array) -> Callable[[jax.Array], Any]:
    """The function from flat parameters to flax variables; no parameters are made to find it."""
    unravel: list[Callable[[jax.Array], Any]] = []
    jax.eval_shape(lambda: unravel.append(ravel_pytree(network.init(jax.random.key(0), observation))[1]))
    return unravel[0]
