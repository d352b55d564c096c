"""The wiring of an iteration: what reaches the update rule, the critics, the statistics and the next sample size."""

import dataclasses
from types import SimpleNamespace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from espo_jax import Config, Hyperparams, espo, modes, normalize, policy, sample_size
from espo_jax.algorithms import core
from espo_jax.algorithms.batch import prepare_batch
from espo_jax.algorithms.steps import every_nth_step
from espo_jax.algorithms.types import NONFINITE_QUANTITIES, Batch
from espo_jax.blocks import Blocks
from espo_jax.networks import make_networks
from espo_jax.rollout import Rollout
from tests import references
from tests.algorithms.probe_envs import TugOfWar

T, N, USED = 20, 3, 13
CONFIG = Config(
    num_envs=N, base_sample_size=48, block_size=12, max_zeta_positive=0.2, policy_hidden_sizes=(8,),
    critic_hidden_sizes=(8,), observation_clip=1.5, lbfgs_iterations=2, fisher_stride=3, cg_iterations=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def algorithm():
    return espo.make(TugOfWar(home=((0.0, -1.0), (0.5, 0.5))), CONFIG)


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
        reward=field(), cost=field(2), next_observation=field(4), terminated=terminated, truncated=truncated, mask=mask,
    )  # fmt: skip


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
    normalizer = normalize.update(
        normalize.init(4), 3 * jnp.ones((1, 1, 4)) * jnp.arange(5.0)[:, None, None], jnp.ones((5, 1))
    )
    template = espo.make(TugOfWar(), CONFIG).init(jax.random.key(0), Hyperparams.create(cost_limit=1.0))
    state = template.replace(
        policy=networks.init_policy(jax.random.key(1)),
        critics=networks.init_critics(jax.random.key(2)),
        normalizer=normalizer,
    )
    batch, target = jax.jit(lambda s, r: prepare_batch(networks, config, s, r, hp))(state, rollout)

    def whiten(x):
        return np.clip((x - np.asarray(normalizer.mean)) / np.asarray(normalizer.std), -1.5, 1.5) if normalized else x

    seen, led_to = (whiten(np.asarray(x)) for x in (rollout.observation, rollout.next_observation))
    chex.assert_trees_all_close(batch.observation[:USED], seen[:USED].astype(np.float32), rtol=1e-5, atol=1e-6)
    signals = np.concatenate([np.asarray(rollout.reward)[..., None], np.asarray(rollout.cost)], axis=-1)
    for index, (discount, lam) in enumerate([(0.9, 0.8), (0.7, 0.5), (0.7, 0.5)]):
        value, next_value = (np.asarray(networks.critic(state.critics[index], x)) for x in (seen, led_to))
        advantage = np.zeros((USED, N))
        for env in range(N):
            ends = rollout.terminated, rollout.truncated
            if time_limit == "termination":
                ends = rollout.terminated | rollout.truncated, rollout.truncated & False
            column = (x[:USED, env] for x in (signals[..., index], value, next_value, *ends))
            advantage[:, env] = references.gae(*map(np.asarray, column), discount, lam)
        np.testing.assert_allclose(target[:USED, :, index], advantage + value[:USED], rtol=1e-3, atol=1e-4)
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


def hyperparams(**changes):
    settings = {
        "cost_limit": [8.0, 8.0],
        "slack_positive": 4.0,
        "slack_negative": -2.0,
        "warmup_iterations": 0,
        **changes,
    }
    return Hyperparams.create(**settings, config=CONFIG)


@pytest.fixture(scope="module")
def step(algorithm):
    return jax.jit(algorithm.step)


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("name", ["slack_positive", "slack_negative"])
def test_each_slack_anneals_on_its_own_switch(algorithm, step, name, horizon, key):
    hp = hyperparams(num_iterations=horizon, **{f"anneal_{name}": True})
    state = algorithm.init(key, hp)
    for done in (1, 2):
        state, metrics = step(state, hp)
        for slack, start in (("slack_positive", 4.0), ("slack_negative", -2.0)):
            expected = references.anneal(start, horizon, done) if slack == name else start
            np.testing.assert_allclose(getattr(metrics, slack), [expected, expected], rtol=1e-5)


def next_size(hp, *, conflicting, iteration=0, rule="gradient_conflict"):
    """What the rule makes of an iteration in the band whose objectives conflict, or not."""
    angle = 2 * np.pi / 3 if conflicting else np.pi / 3
    gram = jnp.array([[1.0, np.cos(angle)], [np.cos(angle), 1.0]])
    choice = modes.ModeChoice(jnp.array(True), jnp.ones(2, bool), jnp.full(2, 0.5))
    config = dataclasses.replace(CONFIG, sample_size_rule=rule)
    problem = SimpleNamespace(choice=choice, config=config, hyperparams=hp, batch=None)
    update = SimpleNamespace(gram=gram)
    return int(core.next_sample_size(sample_size.RULES[rule], problem, update, jnp.int32(iteration)))


@pytest.mark.parametrize("name", ["zeta_positive", "zeta_negative", None])
def test_each_zeta_anneals_on_its_own_switch(name):
    switches = {} if name is None else {f"anneal_{name}": True}
    hp = hyperparams(num_iterations=2, zeta_positive=0.2, zeta_negative=-0.5, **switches)
    for conflicting, start, zeta in ((True, 0.2, "zeta_positive"), (False, -0.5, "zeta_negative")):
        for iteration in (0, 1):
            value = references.anneal(start, 2, iteration + 1) if zeta == name else start
            assert next_size(hp, conflicting=conflicting, iteration=iteration) == round(48 * (1 + value))


def test_rules_apart_from_the_paper_s():
    hp = hyperparams(zeta_positive=0.2, zeta_negative=-0.4)
    assert next_size(hp, conflicting=True, rule="fixed") == 48
    for conflicting, share in ((True, 2 / 3), (False, 1 / 3)):
        size = next_size(hp, conflicting=conflicting, rule="conflict_angle")
        assert size == pytest.approx(48 * (0.6 + 0.6 * share), abs=0.5001)


def test_metrics_of_the_untouched_policy(algorithm, step, key):
    hp = hyperparams()
    state = algorithm.init(key, hp)
    after, metrics = step(state, hp)
    unit = policy.Gaussian(jnp.zeros(2), jnp.zeros(2))
    assert float(metrics.entropy) == pytest.approx(float(policy.entropy(unit)), rel=1e-5)
    assert 0 < float(metrics.cg_residual) < 1
    assert int(after.normalizer.count.lo) == 48
    chex.assert_trees_all_close(after.normalizer.mean, jnp.ones(1))


def test_cg_residual_vanishes_with_enough_iterations(key):
    config = dataclasses.replace(CONFIG, cg_iterations=100)
    algorithm = espo.make(TugOfWar(), config)
    hp = Hyperparams.create(cost_limit=8.0, config=config)
    _, metrics = jax.jit(algorithm.step)(algorithm.init(key, hp), hp)
    assert float(metrics.cg_residual) < 1e-3


@pytest.mark.parametrize("stride", [1, 3, 7])
def test_every_nth_step_spreads_over_the_whole_rollout(stride):
    time = jnp.broadcast_to(jnp.arange(T, dtype=jnp.float32)[:, None, None], (T, N, 1))
    mask = jnp.broadcast_to(jnp.arange(T)[:, None] < USED, (T, N))
    zero = jnp.zeros((T, N, 1))
    blocks = Blocks.covering(jnp.int32(USED), 4)
    batch = Batch(time, zero, zero[..., 0], policy.Gaussian(zero, zero), zero, jnp.ones(1), mask, blocks)
    observation, thinned, thin_blocks = every_nth_step(batch, stride)
    expected = np.arange(0, USED, stride)
    np.testing.assert_array_equal(observation[np.asarray(thinned[:, 0])][:, 0, 0], expected)
    assert int(thin_blocks.count) == -(-len(expected) // 4)
    assert observation.shape[0] % 4 == 0


def test_overflowing_critics_are_reported(key):
    algorithm = espo.make(TugOfWar(cost_scale=1e25), CONFIG)
    hp = Hyperparams.create(cost_limit=8.0, config=CONFIG)
    state = algorithm.init(key, hp)
    after, metrics = jax.jit(algorithm.step)(state, hp)
    named = [name for i, name in enumerate(NONFINITE_QUANTITIES) if int(metrics.nonfinite) >> i & 1]
    assert "critic loss" in named
    chex.assert_trees_all_equal(after.policy, state.policy)


def test_changed_hyperparams_do_not_recompile_and_are_checked(algorithm, step, key):
    hp = hyperparams()
    state = algorithm.init(key, hp)
    step(state, hp)
    compiled = step._cache_size()
    for changes in ({"target_kl": 0.01}, {"target_kl": 1}, {"warmup_iterations": 3}, {"cost_limit": [1, 2]}):
        step(state, hp.replace(**changes))
    assert step._cache_size() == compiled
    with pytest.raises(ValueError, match="zeta_negative"):
        hp.replace(zeta_negative=-3.0)
    swept = jax.vmap(lambda b: Hyperparams.create(cost_limit=b, slack_negative=-np.inf))(jnp.array([1.0, 2.0]))
    chex.assert_shape([swept.cost_limit, swept.slack_negative], (2, 1))
