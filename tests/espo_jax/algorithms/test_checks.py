"""What the settings, the rules, the hyperparameters and the environment must have in common."""

import dataclasses

import jax
import numpy as np
import pytest

from espo_jax import Config, algorithms, espo, sample_size
from espo_jax.algorithms import crpo, cup
from espo_jax.algorithms.checks import check_minibatches, fit_device, settle, shared_blocks
from espo_jax.sample_size import SampleSizeRule
from tests.probe_envs import TugOfWar
from tests.problems import TINY_CONFIG, hyperparams, stacked


def on_reset(**changes):
    return dataclasses.replace(TINY_CONFIG, reset_each_iteration=True, **changes)


@pytest.mark.parametrize("name", ["trpo", "crpo", "pcpo", "cup", "ppo_lagrangian"])
def test_a_resolution_makes_no_sense_without_several_objectives(name):
    config = dataclasses.replace(TINY_CONFIG, conflict_resolution="min_norm")
    with pytest.raises(ValueError, match=f"conflict_resolution is 'min_norm': {name} has no balance mode"):
        algorithms.make(name, TugOfWar(), config)


@pytest.mark.parametrize("name", algorithms.RULES)
def test_the_rule_for_the_sample_size_is_the_one_passed_or_configured_or_the_algorithms_own(name):
    """The config that comes back names it, unless it is a function."""
    rule = algorithms.RULES[name]
    own, size = settle(TINY_CONFIG, rule)
    assert own.sample_size_rule == rule.sample_size_rule == ("gradient_conflict" if name == "espo" else "fixed")
    assert size is sample_size.RULES[rule.sample_size_rule]
    configured = dataclasses.replace(TINY_CONFIG, sample_size_rule="conflict_angle")
    assert settle(configured, rule)[0].sample_size_rule == "conflict_angle"
    assert settle(configured, rule, "fixed")[0].sample_size_rule == "fixed"

    def mine(evidence):
        return evidence.base

    assert settle(configured, rule, mine) == (
        dataclasses.replace(configured, sample_size_rule=None),
        SampleSizeRule(mine),
    )


def fit(config, rule="gradient_conflict", platform="gpu", observation_size=11):
    return fit_device(config, sample_size.RULES[rule], observation_size, 1, platform)


@pytest.mark.parametrize("rule", ["norm_test", "inner_product_test"])
def test_too_few_blocks_are_refused(rule):
    config = dataclasses.replace(TINY_CONFIG, sample_size_rule=rule, block_size=40)
    with pytest.raises(ValueError, match=f"sample_size_rule is '{rule}': it needs 4 blocks .* block_size 40 makes 2"):
        fit(config, rule)
    fit(dataclasses.replace(config, block_size=20), rule)


@pytest.mark.parametrize(
    ("num_envs", "samples", "observation_size", "blocks"),
    [(16, 16_000, 11, 1), (7, 16_000, 11, 1), (1024, 2**17, 11, 1), (4096, 2**20, 11, 6), (4096, 2**20, 376, 10)],
)
def test_an_accelerator_has_few_large_blocks(num_envs, samples, observation_size, blocks):
    config = Config(num_envs=num_envs, base_sample_size=samples)
    assert fit(config, platform="cpu").block_size == 1600
    fitted = fit(config, observation_size=observation_size)
    assert fitted.capacity / fitted.steps_per_block == blocks
    assert fitted.capacity < fitted.max_sample_size / num_envs + blocks * fitted.rollout_chunk
    assert fit(fitted) == fitted, "sizes that are given are kept"
    compared = fit(config, "norm_test")
    assert 10 <= samples / (compared.steps_per_block * num_envs) < 12


@pytest.mark.parametrize("rule", ["gradient_conflict", "norm_test"])
@pytest.mark.parametrize(("num_envs", "chunk"), [(16, 16), (4096, 8), (4681, 7), (16_384, 2), (65_536, 1)])
def test_an_accelerator_looks_at_the_end_of_a_rollout_in_chunks(num_envs, chunk, rule):
    config = Config(num_envs=num_envs, base_sample_size=2**20, sample_size_rule=rule)
    assert fit(config, rule, platform="cpu").steps_per_chunk == 1
    fitted = fit(config, rule)
    assert fitted.steps_per_chunk == chunk
    assert fitted.capacity % chunk == 0
    assert fitted.steps_per_block % chunk == 0
    assert fit(dataclasses.replace(config, rollout_chunk=4)).steps_per_chunk == 4


def test_an_accelerator_has_a_fixed_number_of_minibatches():
    config = Config(num_envs=4096, base_sample_size=2**20, critic_optimizer="adam")
    on_cpu, fitted = (fit(config, platform=platform) for platform in ("cpu", "tpu"))
    assert (on_cpu.critic_minibatch_size, on_cpu.policy_minibatch_size) == (128, 64)
    assert (fitted.critic_minibatch_size, fitted.policy_minibatch_size) == (2**15, 2**15)
    small = dataclasses.replace(fitted, policy_minibatch_size=64)
    expected = (
        "policy_minibatch_size is 64: 40 passes over 1,048,576 samples would take 655,360 .* on a tpu at most 20,000"
    )
    with pytest.raises(ValueError, match=expected):
        check_minibatches(small, cup.RULE, "tpu")
    check_minibatches(small, crpo.RULE, "tpu")  # a natural step has no minibatches
    check_minibatches(small, cup.RULE, "cpu")
    check_minibatches(fitted, cup.RULE, "tpu")


def test_a_rule_of_ones_own_must_be_a_function_and_may_need_blocks():
    def half(evidence):
        return 0.5 * evidence.base

    with pytest.raises(ValueError, match="sample_size_rule is 'half': it needs 99 blocks"):
        espo.make(TugOfWar(), TINY_CONFIG, SampleSizeRule(half, min_blocks=99))
    assert espo.make(TugOfWar(), TINY_CONFIG, "fixed").config.sample_size_rule == "fixed"
    with pytest.raises(ValueError, match="sample_size_rule is 'typo': it must be one of fixed, gradient_conflict"):
        espo.make(TugOfWar(), TINY_CONFIG, "typo")
    with pytest.raises(ValueError, match="sample_size_rule is 5: it must be a name or a function"):
        espo.make(TugOfWar(), TINY_CONFIG, 5)


@pytest.mark.parametrize("name", [None, "gradient_conflict", "conflict_angle"])
def test_a_band_of_no_width_is_refused_by_rules_that_need_one(name, key):
    algorithm = espo.make(TugOfWar(), dataclasses.replace(TINY_CONFIG, sample_size_rule=name))
    hp = hyperparams(slack_positive=0.0, slack_negative=0.0)
    message = r"slack_positive and slack_negative are 0: sample_size_rule .* band has no width"
    with pytest.raises(ValueError, match=message):
        algorithm.init(key, hp)
    with pytest.raises(ValueError, match=message):
        espo.train(TugOfWar(), num_iterations=2, cost_limit=0.0, sample_size_rule=name)
    one_of_two = hyperparams(cost_limit=[8.0, 8.0], slack_positive=[0.0, 1.0], slack_negative=0.0)
    espo.make(TugOfWar(home=((0.0, -1.0), (0.0, 0.0))), TINY_CONFIG).check(one_of_two)
    fixed = espo.make(TugOfWar(), dataclasses.replace(TINY_CONFIG, sample_size_rule="fixed"))
    fixed.init(key, hp)


def test_a_sweep_with_one_band_of_no_width_is_refused():
    lanes = [hyperparams(slack_positive=slack, slack_negative=0.0) for slack in (1.0, 0.0)]
    with pytest.raises(ValueError, match="band has no width"):
        espo.make(TugOfWar(), TINY_CONFIG).check(stacked(lanes))


def test_wrong_number_of_limits_is_refused(key):
    with pytest.raises(ValueError, match="cost_limit has 2 values: the environment reports 1"):
        espo.make(TugOfWar(), TINY_CONFIG).init(key, hyperparams(cost_limit=[1.0, 2.0]))


def test_a_capacity_that_is_too_small_is_refused_before_anything_runs(key):
    room = dataclasses.replace(TINY_CONFIG, max_zeta_positive=0.5)
    hp = hyperparams(room, zeta_positive=0.4)
    espo.make(TugOfWar(), room).init(key, hp)
    with pytest.raises(ValueError, match=r"zeta_positive is 0.4: it must be at most max_zeta_positive \(0.2\)"):
        espo.make(TugOfWar(), TINY_CONFIG).init(key, hp)


def test_reset_each_iteration_needs_whole_episodes(key):
    """80 samples of 4 environments are 20 time steps each; 0.7 X are 14."""
    hp = hyperparams(zeta_negative=0.0)
    with pytest.raises(ValueError, match=r"20 time steps, and an episode has 30; .* at most 2 environments would do"):
        espo.make(TugOfWar(episode_length=30), on_reset()).check(hp)
    with pytest.raises(ValueError, match="a larger base_sample_size would do"):
        espo.make(TugOfWar(episode_length=90), on_reset()).check(hp)
    short = espo.make(TugOfWar(episode_length=16), on_reset())
    with pytest.raises(ValueError, match=r"56 samples has 14 time steps, and an episode has 16; .* at most 3"):
        short.init(key, hyperparams())
    short.init(key, hyperparams(zeta_negative=-0.2))
    espo.make(TugOfWar(episode_length=32), on_reset(action_repeat=4)).check(hp)  # 8 agent steps


def test_traced_hyperparameters_are_only_counted():
    """So that `jax.vmap` over settings works; their number is static."""
    algorithm = espo.make(TugOfWar(), TINY_CONFIG)
    jax.eval_shape(algorithm.check, hyperparams(slack_positive=0.0, slack_negative=0.0))
    with pytest.raises(ValueError, match="cost_limit has 2 values"):
        jax.eval_shape(algorithm.check, hyperparams(cost_limit=[1.0, 2.0]))


def test_no_constraint_is_refused():
    with pytest.raises(ValueError, match=r'reports info\["cost"\] without a value'):
        espo.make(TugOfWar(home=np.zeros((0, 2))), TINY_CONFIG)


def test_vmapped_lanes_share_the_memory_of_a_block():
    config = Config(num_envs=16, base_sample_size=4096, max_zeta_positive=0.5, block_size=1024, rollout_chunk=4)
    assert shared_blocks(config, 4).block_size == 256
    assert shared_blocks(config, 5).block_size == 192  # whole chunks of 64 samples
    assert shared_blocks(config, 1000).block_size == 64
