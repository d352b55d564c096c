"""Diagonal-Gaussian policies: the network, and the density, divergence and entropy of its distribution."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from espo_jax import devices

# Activation of the hidden layers, by name.
ACTIVATIONS = {"tanh": nn.tanh, "relu": nn.relu}

_LOG_TWO_PI = math.log(2 * math.pi)


class Gaussian(NamedTuple):
    """A diagonal Gaussian over actions: mean [..., A] and log of the standard deviation [..., A]."""

    mean: jax.Array
    log_std: jax.Array


class MLP(nn.Module):
    """Fully connected network; the last layer is linear, with its weights scaled by `output_scale`."""

    hidden_sizes: Sequence[int]
    output_size: int
    output_scale: float = 1.0
    activation: str = "tanh"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [..., I] to [..., output_size]."""
        # Full float32 products: with TF32 or bfloat16 the ratios, KL and Fisher products would disagree.
        settings: Any = {"precision": jax.lax.Precision.HIGHEST, "param_dtype": jnp.result_type(float)}
        leading = x.shape[:-1]
        if not devices.are_several():  # the samples of several devices would be gathered to make one axis of them
            x = x.reshape(-1, x.shape[-1])  # XLA's products of matrices are its fastest on a CPU
        for size in self.hidden_sizes:
            x = ACTIVATIONS[self.activation](nn.Dense(size, **settings)(x))
        init = nn.initializers.variance_scaling(self.output_scale**2, "fan_in", "truncated_normal")
        return nn.Dense(self.output_size, kernel_init=init, **settings)(x).reshape(*leading, self.output_size)


class GaussianPolicy(nn.Module):
    """Policy network: a diagonal Gaussian whose standard deviation does not depend on the observation."""

    action_size: int
    hidden_sizes: Sequence[int] = (64, 64)
    initial_log_std: float = 0.0
    activation: str = "tanh"

    @nn.compact
    def __call__(self, observation: jax.Array) -> Gaussian:
        """Map [..., O] to a Gaussian of [..., A]."""
        # A small last layer starts every state near the same zero-mean action, as in the TRPO lineage.
        mean = MLP(self.hidden_sizes, self.action_size, output_scale=0.1, activation=self.activation)(observation)
        log_std = self.param("log_std", nn.initializers.constant(self.initial_log_std), (self.action_size,), mean.dtype)
        return Gaussian(mean, jnp.broadcast_to(log_std, mean.shape))


def sample(key: jax.Array, distribution: Gaussian) -> jax.Array:
    """Draw actions [..., A] from the distribution."""
    return from_noise(jax.random.normal(key, distribution.mean.shape, distribution.mean.dtype), distribution)


def from_noise(noise: jax.Array, distribution: Gaussian) -> jax.Array:
    """Actions [..., A] of the distribution for standard normal noise [..., A]."""
    return distribution.mean + jnp.exp(distribution.log_std) * noise


def log_prob(distribution: Gaussian, action: jax.Array) -> jax.Array:
    """Log density of actions [..., A] under the distribution: [...], in nats."""
    z = (action - distribution.mean) * jnp.exp(-distribution.log_std)
    return -jnp.sum(0.5 * jnp.square(z) + distribution.log_std + 0.5 * _LOG_TWO_PI, axis=-1)


def kl_divergence(p: Gaussian, q: Gaussian) -> jax.Array:
    """KL(p || q) of diagonal Gaussians: [...], in nats.

    sum_a log(sigma_q / sigma_p) + (sigma_p^2 + (mu_p - mu_q)^2) / (2 sigma_q^2) - 1/2
    """
    log_ratio = q.log_std - p.log_std
    shift = jnp.square((p.mean - q.mean) * jnp.exp(-q.log_std))
    return jnp.sum(log_ratio + 0.5 * (jnp.exp(-2 * log_ratio) + shift - 1), axis=-1)


def entropy(distribution: Gaussian) -> jax.Array:
    """Differential entropy: [...], in nats."""
    return jnp.sum(distribution.log_std + 0.5 * (1 + _LOG_TWO_PI), axis=-1)


def fisher_metric(distribution: Gaussian, tangent: Gaussian) -> Gaussian:
    """Fisher matrix of the distribution's own parameters (mean, log_std) times a tangent: (t/sigma^2, 2 t)."""
    return Gaussian(tangent.mean * jnp.exp(-2 * distribution.log_std), 2 * tangent.log_std)
