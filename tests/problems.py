"""Small problems shared by the tests: a policy gradient on plain arrays, update rules and algorithms that solve it."""

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from espo_jax import algorithms, policy, surrogate
from espo_jax.algorithms.batch import pose as pose_problem
from espo_jax.algorithms.checks import settle
from espo_jax.algorithms.iteration import Algorithm
from espo_jax.algorithms.types import Batch
from espo_jax.blocks import Blocks
from espo_jax.config import Config
from espo_jax.episode_estimate import EpisodeEstimate
from espo_jax.hyperparams import Hyperparams
from espo_jax.networks import make_networks
from tests.probe_envs import TugOfWar


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
    networks = _networks(num_constraints, hidden, jnp.result_type(float))
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


@functools.cache
def _networks(num_constraints, hidden, dtype):
    """The same functions for every problem of one shape and type, so that what is compiled for one serves all."""
    del dtype  # of the parameters, by jax_enable_x64
    return make_networks(4, 2, num_constraints, Config(policy_hidden_sizes=hidden, critic_hidden_sizes=hidden))


def dense_fisher(p, used):
    """1/n sum_s J^T M J from the Jacobian of every sample."""
    return _dense_fisher(p.networks.policy)(p.params, p.observation[:used].reshape(-1, 4))


@functools.cache
def _dense_fisher(policy_fn):
    @jax.jit
    def dense_fisher(params, observation):
        jacobian = jax.vmap(lambda o: jax.jacobian(lambda q: policy_fn(q, o))(params))(observation)
        std = jnp.exp(policy_fn(params, observation).log_std)[..., None]
        mean_part = jnp.einsum("nap,naq->pq", jacobian.mean / std, jacobian.mean / std)
        log_std_part = 2 * jnp.einsum("nap,naq->pq", jacobian.log_std, jacobian.log_std)
        return (mean_part + log_std_part) / observation.shape[0]

    return dense_fisher


# One update of a rule on fixed samples, in double precision, whose cost is what a test wants it to be.

RADIUS = 1e-6  # so small that every full step is accepted
DAMPING = 0.01
UPDATE_CONFIG = Config(
    policy_hidden_sizes=(8,), critic_hidden_sizes=(8,), cg_iterations=200, fisher_stride=1, block_size=64,
    policy_passes=3, policy_minibatch_size=1000,
)  # fmt: skip
FIRST_ORDER = {
    "target_kl": 10.0, "policy_learning_rate": 0.05, "clip_ratio": 0.2, "multiplier_init": 0.3,
    "multiplier_learning_rate": 0.07, "cost_discount": 0.9, "cost_gae_lambda": 0.8,
}  # fmt: skip


def pose(
    cost, *, limit=40.0, copies=None, num_constraints=1, used=24, config=UPDATE_CONFIG, advantage=None, iteration=0,
    **changes,
):  # fmt: skip
    """A problem on fixed samples with V_c = cost; with `copies` the one constraint that many times.

    Args:
      advantage: function from the samples' advantages [T, N, M] to those of the problem; None keeps them.
      iteration: number of finished iterations.
      **changes: hyperparameters.
    """
    p = make_problem(used, num_constraints=num_constraints)
    advantages = p.advantage if advantage is None else advantage(p.advantage)
    if copies:
        advantages = jnp.concatenate([advantages[..., :1], *[advantages[..., 1:]] * copies], axis=-1)
        num_constraints = copies
    distribution = p.networks.policy(p.params, p.observation)
    scale = jnp.ones(1 + num_constraints)
    batch = Batch(p.observation, p.action, p.log_prob, distribution, advantages, scale, p.mask, p.blocks)
    settings = {
        "slack_positive": np.inf, "slack_negative": -np.inf, "warmup_iterations": 0, "target_kl": RADIUS,
        "cg_damping": DAMPING, **changes,
    }  # fmt: skip
    hp = Hyperparams.create(cost_limit=np.broadcast_to(limit, num_constraints), config=config, **settings)
    hp = jax.tree.map(lambda x: x.astype(float), hp)
    episode = EpisodeEstimate(jnp.zeros(()), jnp.broadcast_to(jnp.asarray(cost, float), num_constraints), jnp.ones(()))
    state = SimpleNamespace(policy=p.params, iteration=jnp.int32(iteration))
    networks = p.networks._replace(num_constraints=num_constraints)
    return pose_problem(networks, config, state, batch, episode, jax.random.key(5), hp)


@functools.cache
def _compiled_update(update_fn, networks, config):
    """One program for every problem with the same shapes."""
    return jax.jit(lambda arrays, state: update_fn(arrays._replace(networks=networks, config=config), state))


def update(name, problem, state=None):
    """What the rule of that name does about a problem; from its first state where none is given."""
    rule = algorithms.RULES[name]
    if state is None:
        state = rule.init(problem.networks, problem.params, problem.config, problem.hyperparams)
    arrays = problem._replace(networks=None, config=None)
    return _compiled_update(rule.update, problem.networks, problem.config)(arrays, state)


def dense(problem):
    """Gradients [M, P] and damped Fisher matrix of all samples."""
    b = problem.batch
    gradients = surrogate.surrogate_gradients(
        problem.networks.policy, problem.params, b.observation, b.action, b.log_prob, b.advantage, b.mask, b.blocks
    )
    fisher = dense_fisher(make_problem(24), 24) + DAMPING * jnp.eye(problem.params.size)
    return np.asarray(gradients), np.asarray(fisher)


def forward(problem, flat):
    """The policy network in NumPy: mean and log_std of all samples."""
    params = jax.tree.map(np.asarray, problem.networks.unravel_policy(jnp.asarray(flat)))["params"]
    layers = params["MLP_0"]
    hidden = np.tanh(np.asarray(problem.batch.observation) @ layers["Dense_0"]["kernel"] + layers["Dense_0"]["bias"])
    mean = hidden @ layers["Dense_1"]["kernel"] + layers["Dense_1"]["bias"]
    return mean, np.broadcast_to(params["log_std"], mean.shape)


def away(problem):
    """Two points [P] away from the old policy, so that ratios are not 1 and some samples are clipped."""
    rng = np.random.default_rng(0)
    points = [np.asarray(problem.params) + 0.3 * rng.normal(size=problem.params.size) for _ in range(2)]
    ratio = np.exp(
        policy.log_prob(
            problem.networks.policy(jnp.asarray(points[0]), problem.batch.observation), problem.batch.action
        )
        - problem.batch.log_prob
    )
    assert (ratio > 1.2).any()
    assert (ratio < 0.8).any()
    return points


def assert_close(actual, expected, rtol=1e-4):
    """Elements that are small beside the largest may differ by what that one may: the solves are iterative."""
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


# Whole algorithms on TugOfWar.

TINY_CONFIG = Config(
    num_envs=4, base_sample_size=80, block_size=16, max_zeta_positive=0.2, policy_hidden_sizes=(8,),
    critic_hidden_sizes=(8,), cg_iterations=5, lbfgs_iterations=3, fisher_stride=2, normalize_observations=False,
    policy_passes=3, policy_minibatch_size=16,
)  # fmt: skip


class Compiled(NamedTuple):
    """An algorithm with its init and step compiled."""

    algorithm: Algorithm
    init: Callable[..., Any]
    step: Callable[..., Any]


def compiled(name, config=TINY_CONFIG, **env):
    """One algorithm on TugOfWar; the same object, and so the same programs, for the same arguments.

    Args:
      name: one of `algorithms.RULES`.
      config: static settings.
      **env: keyword arguments of TugOfWar.
    """
    return _compiled(name, settle(config, algorithms.RULES[name])[0], **env)


@functools.cache
def _compiled(name, config, **env):
    algorithm = algorithms.make(name, TugOfWar(**env), config)
    return Compiled(algorithm, jax.jit(algorithm.init), jax.jit(algorithm.step))


def hyperparams(config=TINY_CONFIG, **changes):
    """Settings under which the cost is in the band whatever it is."""
    settings = {"cost_limit": 8.0, "slack_negative": -np.inf, "slack_positive": np.inf, **changes}
    return Hyperparams.create(config=config, **settings)


def with_mean(algorithm, state, mean):
    """The same state with a policy that acts around `mean` (the observation is constant)."""
    variables = jax.tree.map(jnp.zeros_like, algorithm.networks.unravel_policy(state.policy))
    variables["params"]["MLP_0"]["Dense_1"]["bias"] = jnp.array(mean)
    return state.replace(policy=ravel_pytree(variables)[0])


def stacked(trees):
    """Trees of arrays as one tree with a leading axis."""
    return jax.tree.map(lambda *x: jnp.stack(x), *trees)
