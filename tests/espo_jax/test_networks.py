import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from espo_jax.config import Config
from espo_jax.networks import make_networks


def networks(**settings):
    return make_networks(3, 2, 2, Config(policy_hidden_sizes=(8,), critic_hidden_sizes=(6,), **settings))


def test_shapes(key):
    made = networks()
    observation = jnp.ones((5, 4, 3))
    params, critics = made.init_policy(key), made.init_critics(key)
    chex.assert_shape(params, (3 * 8 + 8 + 8 * 2 + 2 + 2,))
    chex.assert_shape(critics, (3, 3 * 6 + 6 + 6 + 1))  # of the reward and of two costs
    chex.assert_shape(made.policy(params, observation), (5, 4, 2))
    chex.assert_shape(made.critic(critics[0], observation), (5, 4))
    assert made.num_constraints == 2


def test_flat_parameters_are_those_of_the_networks(key):
    made = networks()
    for flat, unravel in (
        (made.init_policy(key), made.unravel_policy),
        (made.init_critics(key)[0], made.unravel_critic),
    ):
        chex.assert_trees_all_equal(ravel_pytree(unravel(flat))[0], flat)


def test_every_critic_starts_from_weights_of_its_own(key):
    critics = networks().init_critics(key)
    assert all(not jnp.allclose(critics[i], critics[j]) for i in range(3) for j in range(i))


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_activation_is_that_of_both_networks(activation, key):
    made = networks(activation=activation)
    fn = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0)}[activation]
    x = np.array([0.7, -0.3, 1.5])

    def forward(layers, x):
        hidden = fn(x @ layers["Dense_0"]["kernel"] + layers["Dense_0"]["bias"])
        return hidden @ layers["Dense_1"]["kernel"] + layers["Dense_1"]["bias"]

    params, critic_params = made.init_policy(key), made.init_critics(key)[0]
    policy, critic = made.unravel_policy(params)["params"]["MLP_0"], made.unravel_critic(critic_params)["params"]
    chex.assert_trees_all_close(made.policy(params, x).mean, forward(policy, x), rtol=1e-5)
    chex.assert_trees_all_close(made.critic(critic_params, x), forward(critic, x)[0], rtol=1e-5)


def test_the_first_policy_has_the_standard_deviation_that_is_asked_for(key):
    for given, expected in (({}, 0.0), ({"initial_log_std": -0.5}, -0.5)):
        made = networks(**given)
        log_std = made.policy(made.init_policy(key), np.ones((4, 3))).log_std
        np.testing.assert_array_equal(log_std, np.full(log_std.shape, expected, np.float32))


def test_making_networks_makes_no_parameters():
    """So that it costs nothing to build an algorithm of any size."""
    with jax.checking_leaks():
        made = make_networks(3, 2, 1, Config(policy_hidden_sizes=(30_000, 30_000)))
    assert jax.eval_shape(made.init_policy, jax.random.key(0)).shape[0] > 900_000_000
