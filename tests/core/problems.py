"""A small policy-gradient problem on plain arrays, shared by the tests of the maths modules."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from espo_jax import policy
from espo_jax.blocks import Blocks
from espo_jax.config import Config
from espo_jax.networks import make_networks


class Problem(NamedTuple):
    """networks, parameters, and samples of which the first `used` time steps count; the rest is garbage."""

    networks: object
    params: jax.Array
    critics: jax.Array
    observation: jax.Array
    action: jax.Array
    log_prob: jax.Array
    advantage: jax.Array
    mask: jax.Array
    blocks: Blocks


def make_problem(used, *, capacity=24, block_size=4, num_envs=3, num_constraints=1, hidden=(8,)):
    """The first `used` steps of the same samples, whatever the capacity; unused entries are garbage."""
    config = Config(policy_hidden_sizes=hidden, critic_hidden_sizes=hidden)
    networks = make_networks(4, 2, num_constraints, config)
    keys = jax.random.split(jax.random.key(7), 6)
    params = networks.init_policy(keys[0]) + 0.3 * jax.random.normal(keys[1], networks.init_policy(keys[0]).shape)
    observation = jax.random.normal(keys[2], (24, num_envs, 4))
    distribution = networks.policy(params, observation)
    action = policy.sample(keys[3], distribution)
    samples = (
        observation,
        action,
        policy.log_prob(distribution, action),
        jax.random.normal(keys[4], (24, num_envs, 1 + num_constraints)),
    )

    def cut(x):
        x = jnp.where(jnp.arange(24).reshape(-1, *[1] * (x.ndim - 1)) < used, x, 99.0)
        return x[:capacity]

    mask = jnp.broadcast_to(jnp.arange(capacity)[:, None] < used, (capacity, num_envs))
    blocks = Blocks.covering(jnp.int32(used), block_size)
    return Problem(networks, params, networks.init_critics(keys[5]), *map(cut, samples), mask, blocks)
