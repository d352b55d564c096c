"""From a rollout to what the update rule sees of it, against the loops of the papers."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from espo_jax import Config, Hyperparams, normalize
from espo_jax.algorithms.batch import prepare_batch, whiten
from espo_jax.networks import make_networks
from espo_jax.rollout import Rollout
from tests import references
from tests.problems import compiled

T, N, USED = 20, 3, 13
CONFIG = Config(
    num_envs=N, base_sample_size=48, block_size=12, max_zeta_positive=0.2, policy_hidden_sizes=(8,),
    critic_hidden_sizes=(8,), observation_clip=1.5,
)  # fmt: skip


def random_rollout():
    """Of 4-dimensional observations and K = 2 costs, with terminations and truncations; zeros beyond USED."""
    rng = np.random.default_rng(0)
    mask = np.arange(T)[:, None] < np.full((1, N), USED)
    terminated = (rng.random((T, N)) < 0.15) & mask
    truncated = (rng.random((T, N)) < 0.15) & mask & ~terminated

    def field(*shape):
        return np.where(mask.reshape(T, N, *[1] * len(shape)), 2 * rng.normal(size=(T, N, *shape)) + 1, 0.0)

    return Rollout(
        age=np.zeros((T, N), np.int32), finished=mask, observation=field(4), action=field(2), log_prob=field(),
        reward=field(), cost=field(2), terminated=terminated, truncated=truncated, mask=mask, finite=mask,
        final_observation=rng.normal(size=(truncated.sum(axis=0).max() + 3, N, 4)),
    )  # fmt: skip


def led_to(rollout):
    """The observation that every sample led to [USED, N, 4], before any reset."""
    observation, final = np.asarray(rollout.observation), np.asarray(rollout.final_observation)
    following = np.concatenate([observation[1:USED], final[-1:]])
    for env in range(N):
        for row, time in enumerate(np.flatnonzero(rollout.truncated[:, env])):
            following[time, env] = final[row, env]
    return following


def seen_normalizer():
    return normalize.update(
        normalize.init(4), 3 * jnp.ones((1, 1, 4)) * jnp.arange(5.0)[:, None, None], jnp.ones((5, 1))
    )


@pytest.mark.parametrize(
    ("standardized", "cost_advantages", "normalized", "time_limit"),
    [
        (True, "standardize", True, "truncation"),
        (True, "center", True, "termination"),
        (False, "standardize", False, "truncation"),
        (False, "center", True, "termination"),
        (True, "standardize", False, "termination"),
    ],
)
def test_prepare_batch_equals_the_loops_of_the_papers(standardized, cost_advantages, normalized, time_limit):
    config = dataclasses.replace(
        CONFIG, standardize_advantages=standardized, cost_advantages=cost_advantages,
        normalize_observations=normalized, time_limit=time_limit,
    )  # fmt: skip
    hp = Hyperparams.create(cost_limit=[1.0, 2.0], discount=0.9, cost_discount=0.7, gae_lambda=0.8, cost_gae_lambda=0.5)
    networks = make_networks(4, 2, 2, config)
    rollout = jax.tree.map(
        lambda x: jnp.asarray(x, jnp.float32) if x.dtype == float else jnp.asarray(x), random_rollout()
    )
    normalizer = seen_normalizer()
    template = compiled("espo").init(jax.random.key(0), Hyperparams.create(cost_limit=1.0))
    state = template.replace(
        policy=networks.init_policy(jax.random.key(1)),
        critics=networks.init_critics(jax.random.key(2)),
        normalizer=normalizer,
    )
    whitened = networks._replace(whiten=functools.partial(whiten, config, normalizer))
    batch, target = jax.jit(lambda s, r: prepare_batch(whitened, config, s, r, hp))(state, rollout)

    def whitened_by_hand(x):
        return np.clip((x - np.asarray(normalizer.mean)) / np.asarray(normalizer.std), -1.5, 1.5) if normalized else x

    seen, following = (whitened_by_hand(np.asarray(x)) for x in (rollout.observation[:USED], led_to(rollout)))
    signals = np.concatenate([np.asarray(rollout.reward)[..., None], np.asarray(rollout.cost)], axis=-1)
    for index, (discount, lam) in enumerate([(0.9, 0.8), (0.7, 0.5), (0.7, 0.5)]):
        value, next_value = (np.asarray(networks.critic(state.critics[index], x)) for x in (seen, following))
        advantage = np.zeros((USED, N))
        for env in range(N):
            ends = rollout.terminated, rollout.truncated
            if time_limit == "termination":
                ends = rollout.terminated | rollout.truncated, rollout.truncated & False
            column = (x[:USED, env] for x in (signals[..., index], value, next_value, *ends))
            advantage[:, env] = references.gae(*map(np.asarray, column), discount, lam)
        np.testing.assert_allclose(target[:USED, :, index], advantage + value, rtol=1e-3, atol=1e-4)
        if standardized:
            keeps_unit = index > 0 and cost_advantages == "center"
            expected_scale = 1.0 if keeps_unit else advantage.std()
            advantage = (advantage - advantage.mean()) / expected_scale
            np.testing.assert_allclose(batch.advantage_scale[index], expected_scale, rtol=1e-4)
        sign = 1 if index == 0 else -1
        np.testing.assert_allclose(batch.advantage[:USED, :, index], sign * advantage, rtol=1e-3, atol=1e-3)
    expected = networks.policy(state.policy, jnp.asarray(seen, jnp.float32))
    chex.assert_trees_all_close(batch.distribution.mean[:USED], expected.mean[:USED], rtol=1e-4, atol=1e-5)
    assert int(batch.blocks.count) == 4  # 13 steps in blocks of 4


@pytest.mark.parametrize("normalized", [True, False])
def test_observations_are_whitened_and_clipped_where_the_config_says_so(normalized):
    config = dataclasses.replace(CONFIG, normalize_observations=normalized)
    normalizer, observation = seen_normalizer(), jnp.linspace(-40.0, 40.0, 12).reshape(3, 4)
    expected = np.asarray(observation)
    if normalized:
        expected = np.clip((expected - np.asarray(normalizer.mean)) / np.asarray(normalizer.std), -1.5, 1.5)
        assert np.abs(expected).max() == 1.5
    chex.assert_trees_all_close(whiten(config, normalizer, observation), expected, rtol=1e-6)
