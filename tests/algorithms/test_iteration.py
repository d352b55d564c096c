"""Sizes, counters and settings of the iteration that all algorithms share."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.training.types import UInt64

from espo_jax import Config, Hyperparams, espo, modes, ppo_lagrangian
from espo_jax.algorithms.types import NONFINITE_QUANTITIES, fetch
from espo_jax.sample_size import SampleSizeRule
from tests.algorithms.probe_envs import TugOfWar
from tests.algorithms.test_espo import with_mean

TINY = Config(
    num_envs=4, base_sample_size=80, block_size=16, max_zeta_positive=0.2, policy_hidden_sizes=(8,),
    critic_hidden_sizes=(8,), cg_iterations=3, lbfgs_iterations=2, fisher_stride=1, normalize_observations=False,
)  # fmt: skip
# So far apart that the noise of actions matters little: half way between the two, reward and cost conflict.
FAR = {"goal": (3.0, 0.0), "home": (0.0, -3.0)}
BETWEEN = (1.5, -1.5)

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.mark.parametrize(
    ("num_envs", "base", "sizes"), [(64, 64, (70, 45)), (64, 80, (88, 56)), (16, 80, (88, 56)), (7, 80, (88, 56))]
)
def test_the_sample_size_is_the_rule_s_to_one_sample_at_every_width(num_envs, base, sizes, key):
    """X(1 + 0.1) after a conflict, X(1 - 0.3) else; with whole time steps both would be 64 of 64."""
    config = dataclasses.replace(TINY, num_envs=num_envs, base_sample_size=base, block_size=num_envs)
    algorithm = espo.make(TugOfWar(**FAR), config)
    hp = Hyperparams.create(cost_limit=8.0, slack_positive=np.inf, slack_negative=-np.inf, config=config)
    state, step, expected, total = algorithm.init(key, hp), jax.jit(algorithm.step), base, 0
    seen = set()
    for limit_beyond in (False, False, True, True, False, False):
        band = hp.replace(cost_limit=1e6, slack_negative=0.0, slack_positive=0.0, config=config) if limit_beyond else hp
        state, metrics = step(with_mean(algorithm, state, BETWEEN), band)
        total += expected
        assert int(metrics.sample_size) == expected
        assert int(fetch(metrics).env_steps) == total
        expected = sizes[0] if int(metrics.mode) == modes.CONFLICT else sizes[1]
        assert int(state.sample_size) == expected
        seen.add(expected)
    assert seen == set(sizes)
    assert step._cache_size() == 1


@pytest.mark.parametrize("before", [2**31 - 40, 2**32 - 40, 10**12 - 40])
def test_samples_are_counted_exactly_beyond_32_bits(before, key):
    algorithm = espo.make(TugOfWar(), TINY)
    hp = Hyperparams.create(cost_limit=8.0, config=TINY)
    state = algorithm.init(key, hp).replace(env_steps=UInt64(hi=before >> 32, lo=before & 0xFFFFFFFF))
    step, expected = jax.jit(algorithm.step), before
    for _ in range(3):
        expected += int(state.sample_size)
        state, metrics = step(state, hp)
        assert int(state.env_steps) == int(fetch(metrics).env_steps) == expected
    assert fetch(metrics).env_steps.dtype == np.int64
    assert step._cache_size() == 1


def test_counters_of_lanes_are_fetched_as_one_array(key):
    algorithm = espo.make(TugOfWar(), TINY)
    hp = Hyperparams.create(cost_limit=8.0, config=TINY)
    states = jax.vmap(algorithm.init, in_axes=(0, None))(jax.random.split(key, 3), hp)
    _, metrics = jax.jit(jax.vmap(algorithm.step, in_axes=(0, None)))(states, hp)
    np.testing.assert_array_equal(fetch(metrics).env_steps, [80, 80, 80])


@pytest.mark.parametrize("algorithm", [espo, ppo_lagrangian])
def test_the_defaults_see_conflicts_and_take_more_samples_after_them(algorithm, key):
    """Nothing is given but a limit: the band has a width, and training does not begin with a warm-up."""
    config = dataclasses.replace(TINY, sample_size_rule="gradient_conflict")
    built = algorithm.make(TugOfWar(**FAR), config)
    hp = Hyperparams.create(cost_limit=1.0, config=config)
    state, step = built.init(key, hp), jax.jit(built.step)
    state = with_mean(built, state, BETWEEN)
    cost = float(step(state, hp)[1].episode_cost[0])
    for share, size in ((0.8, 56), (1.0, 88), (1.2, 56)):  # below, in and above a band of 10 % of the limit
        after, metrics = step(state, Hyperparams.create(cost_limit=cost / share, config=config))
        assert float(metrics.conflict_angle) > 90
        assert int(after.sample_size) == size


@pytest.mark.parametrize("name", [None, "gradient_conflict", "conflict_angle"])
def test_a_band_of_no_width_is_refused_by_rules_that_need_one(name, key):
    algorithm = espo.make(TugOfWar(), dataclasses.replace(TINY, sample_size_rule=name))
    hp = Hyperparams.create(cost_limit=8.0, slack_positive=0.0, slack_negative=0.0, config=TINY)
    message = r"slack_positive and slack_negative are 0: sample_size_rule .* band has no width"
    with pytest.raises(ValueError, match=message):
        algorithm.init(key, hp)
    with pytest.raises(ValueError, match=message):
        espo.train(TugOfWar(), num_iterations=2, cost_limit=0.0, sample_size_rule=name)
    one_of_two = Hyperparams.create(cost_limit=[8.0, 8.0], slack_positive=[0.0, 1.0], slack_negative=0.0, config=TINY)
    espo.make(TugOfWar(home=((0.0, -1.0), (0.0, 0.0))), TINY).check(one_of_two)
    fixed = espo.make(TugOfWar(), dataclasses.replace(TINY, sample_size_rule="fixed"))
    fixed.init(key, hp)


def test_a_sweep_with_one_band_of_no_width_is_refused():
    algorithm = espo.make(TugOfWar(), TINY)
    lanes = [Hyperparams.create(cost_limit=8.0, slack_positive=s, slack_negative=0.0, config=TINY) for s in (1.0, 0.0)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *lanes)
    with pytest.raises(ValueError, match="band has no width"):
        algorithm.check(stacked)


def test_a_capacity_that_is_too_small_is_refused_before_anything_runs(key):
    room = dataclasses.replace(TINY, max_zeta_positive=0.5)
    hp = Hyperparams.create(cost_limit=8.0, zeta_positive=0.4, config=room)
    espo.make(TugOfWar(), room).init(key, hp)
    with pytest.raises(ValueError, match=r"zeta_positive is 0.4: it must be at most max_zeta_positive \(0.2\)"):
        espo.make(TugOfWar(), TINY).init(key, hp)


def test_reset_each_iteration_needs_whole_episodes(key):
    """80 samples of 4 environments are 20 time steps each; 0.7 X are 14."""
    config = dataclasses.replace(TINY, reset_each_iteration=True)
    hp = Hyperparams.create(cost_limit=8.0, zeta_negative=0.0, config=TINY)
    with pytest.raises(ValueError, match=r"20 time steps, and an episode has 30; .* at most 2 environments would do"):
        espo.make(TugOfWar(episode_length=30), config).check(hp)
    with pytest.raises(ValueError, match="a larger base_sample_size would do"):
        espo.make(TugOfWar(episode_length=90), config).check(hp)
    short = espo.make(TugOfWar(episode_length=16), config)
    with pytest.raises(ValueError, match=r"56 samples has 14 time steps, and an episode has 16; .* at most 3"):
        short.init(key, Hyperparams.create(cost_limit=8.0, config=TINY))
    short.init(key, Hyperparams.create(cost_limit=8.0, zeta_negative=-0.2, config=TINY))
    repeated = dataclasses.replace(TINY, reset_each_iteration=True, action_repeat=4)
    espo.make(TugOfWar(episode_length=32), repeated).check(hp)  # 8 agent steps


def test_no_constraint_is_refused():
    with pytest.raises(ValueError, match=r'reports info\["cost"\] without a value'):
        espo.make(TugOfWar(home=np.zeros((0, 2))), TINY)


def test_a_rule_can_be_passed_as_a_function(key):
    seen = []

    def half_after_each(evidence):
        seen.append(evidence.base)
        return jnp.where(evidence.balance, 0.5, 1.25) * evidence.base + 0.4

    algorithm = espo.make(TugOfWar(), TINY, half_after_each)
    hp = Hyperparams.create(cost_limit=8.0, slack_positive=0.0, slack_negative=0.0, config=TINY)  # needs no band
    state, step = algorithm.init(key, hp), jax.jit(algorithm.step)
    after, _ = step(state, hp)
    assert int(after.sample_size) == 96, "1.25 X is bounded by the capacity of 1.2 X"
    band = hp.replace(slack_positive=np.inf, slack_negative=-np.inf, config=TINY)
    after, _ = step(state, band)
    assert int(after.sample_size) == 40
    assert seen == [80], "traced once"
    with pytest.raises(ValueError, match="sample_size_rule is 'half_after_each': it needs 99 blocks"):
        espo.make(TugOfWar(), TINY, SampleSizeRule(half_after_each, min_blocks=99))
    assert espo.make(TugOfWar(), TINY, "fixed").config.sample_size_rule == "fixed"
    with pytest.raises(ValueError, match="sample_size_rule is 'typo': it must be one of fixed, gradient_conflict"):
        espo.make(TugOfWar(), TINY, "typo")
    with pytest.raises(ValueError, match="sample_size_rule is 5: it must be a name or a function"):
        espo.make(TugOfWar(), TINY, 5)


def test_a_rule_that_gives_nan_is_reported_and_nothing_is_learned(key):
    algorithm = espo.make(TugOfWar(), TINY, lambda evidence: evidence.base * jnp.nan)
    hp = Hyperparams.create(cost_limit=8.0, config=TINY)
    state = algorithm.init(key, hp)
    after, metrics = jax.jit(algorithm.step)(state, hp)
    assert NONFINITE_QUANTITIES[-1] == "sample size"
    assert int(metrics.nonfinite) == 1 << NONFINITE_QUANTITIES.index("sample size")
    assert int(after.sample_size) == 80
    chex.assert_trees_all_equal(after.policy, state.policy)


def test_train_takes_a_rule_as_a_function_or_by_name():
    settings = {name: getattr(TINY, name) for name in ("num_envs", "base_sample_size", "block_size")}
    settings |= {"policy_hidden_sizes": (8,), "critic_hidden_sizes": (8,), "lbfgs_iterations": 2, "cost_limit": 8.0}
    sizes = {}
    for rule in (lambda evidence: 0.9 * evidence.base, "fixed", None):
        *_, metrics = espo.train(TugOfWar(), num_iterations=2, num_evals=0, sample_size_rule=rule, **settings)
        sizes[rule if isinstance(rule, str | None) else "own"] = metrics["training/sample_size"]
    assert sizes == {"own": 72, "fixed": 80, None: 56}


def test_negative_costs_are_counted(key):
    algorithm = espo.make(TugOfWar(cost_scale=-1.0), TINY)
    hp = Hyperparams.create(cost_limit=8.0, config=TINY)
    _, metrics = jax.jit(algorithm.step)(algorithm.init(key, hp), hp)
    assert int(metrics.negative_costs) == 80
    _, metrics = jax.jit(espo.make(TugOfWar(), TINY).step)(algorithm.init(key, hp), hp)
    assert int(metrics.negative_costs) == 0


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_activation_is_that_of_both_networks(activation, key):
    algorithm = espo.make(TugOfWar(), dataclasses.replace(TINY, activation=activation))
    state = algorithm.init(key, Hyperparams.create(cost_limit=8.0, config=TINY))
    fn = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0)}[activation]
    x = np.array([0.7])

    def forward(layers, x):
        hidden = fn(x @ layers["Dense_0"]["kernel"] + layers["Dense_0"]["bias"])
        return hidden @ layers["Dense_1"]["kernel"] + layers["Dense_1"]["bias"]

    policy = algorithm.networks.unravel_policy(state.policy)["params"]["MLP_0"]
    critic = algorithm.networks.unravel_critic(state.critics[0])["params"]
    chex.assert_trees_all_close(algorithm.networks.policy(state.policy, x).mean, forward(policy, x), rtol=1e-5)
    chex.assert_trees_all_close(algorithm.networks.critic(state.critics[0], x), forward(critic, x)[0], rtol=1e-5)
