"""What every algorithm shares: one program, lanes that do not disturb each other, limits that are met."""

import dataclasses
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import espo_jax
from espo_jax import algorithms, sample_size
from espo_jax.algorithms.metrics import fetch
from espo_jax.config import Config
from tests.probe_envs import TugOfWar
from tests.problems import FIRST_ORDER, RADIUS, TINY_CONFIG, compiled, hyperparams, pose, stacked, update, with_mean
from tests.slow_cases import every_algorithm, slow_but

BY_CONFLICT = dataclasses.replace(TINY_CONFIG, sample_size_rule="gradient_conflict")


@pytest.mark.parametrize("name", slow_but(["espo", "cup"], algorithms.RULES))
def test_one_program_for_every_size_setting_and_lane(name, key):
    """With gradient-conflict sizes; three lanes under vmap take different numbers of samples."""
    algorithm, init, step = compiled(name, BY_CONFLICT)
    hp = hyperparams(zeta_positive=0.2, zeta_negative=-0.5)
    lanes = [
        hp,
        hp.replace(cost_limit=1e6, slack_negative=0.0, zeta_negative=-0.7),
        hp.replace(cost_limit=0.5, slack_positive=0.0, zeta_negative=0.0),
    ]
    alone = [init(k, lane) for k, lane in zip(jax.random.split(key, 3), lanes, strict=True)]
    together, settings = stacked(alone), stacked(lanes)
    over_lanes = jax.jit(jax.vmap(algorithm.step))  # counted by its cache
    sizes = set()
    for _ in range(4):
        together, metrics = over_lanes(together, settings)
        results = [step(state, lane) for state, lane in zip(alone, lanes, strict=True)]
        alone, expected = [state for state, _ in results], stacked([m for _, m in results])
        chex.assert_trees_all_equal(metrics.sample_size, expected.sample_size)
        chex.assert_trees_all_equal(metrics.mode, expected.mode)
        chex.assert_trees_all_equal(fetch(metrics).env_steps, fetch(expected).env_steps)
        chex.assert_trees_all_close(metrics.episode_cost, expected.episode_cost, rtol=1e-3)
        chex.assert_trees_all_close(together.policy, stacked(alone).policy, rtol=2e-3, atol=2e-3)
        assert not expected.nonfinite.any()
        assert (expected.kl >= 0).all()
        sizes |= set(np.asarray(expected.sample_size).tolist())
    assert len(sizes) >= 3
    assert (step._cache_size(), over_lanes._cache_size()) == (1, 1)


@pytest.mark.parametrize(
    ("name", "rule"),
    slow_but(
        [("espo", "fixed"), ("espo", "gradient_conflict"), ("ppo_lagrangian", "norm_test")],
        itertools.product(["espo", "ppo_lagrangian"], sample_size.RULES),
    ),
)
def test_every_rule_stays_between_its_bounds(name, rule, key):
    _, init, step = compiled(name, dataclasses.replace(TINY_CONFIG, sample_size_rule=rule))
    hp = hyperparams(zeta_positive=0.2, zeta_negative=-0.5)
    state = init(key, hp)
    sizes = []
    for _ in range(4):
        state, metrics = step(state, hp)
        assert int(metrics.nonfinite) == 0
        sizes.append(int(metrics.sample_size))
    assert sizes[0] == 80
    allowed = {"fixed": {80}, "gradient_conflict": {80, 40, 96}}.get(rule)
    assert set(sizes) <= allowed if allowed else all(40 <= size <= 96 for size in sizes)


# What a limit of 4 of the 16 that the goal costs leaves of the reward; TRPO goes to the goal itself. ESPO, with a
# tighter bound: test_espo.py.
@pytest.mark.parametrize("name", every_algorithm("espo"))
def test_finds_the_constrained_optimum(name, key):
    limit = 4.0
    config = Config(
        num_envs=16, base_sample_size=512, block_size=256, max_zeta_positive=0.1, policy_hidden_sizes=(8,),
        critic_hidden_sizes=(8,), fisher_stride=1, normalize_observations=False, lbfgs_iterations=5,
        policy_passes=10, policy_minibatch_size=64,
    )  # fmt: skip
    algorithm, init, _ = compiled(name, config)
    hp = hyperparams(
        config, cost_limit=limit, slack_positive=0.0, slack_negative=-0.1, target_kl=0.01, policy_learning_rate=3e-3,
        multiplier_learning_rate=0.01,
    )  # fmt: skip
    state = init(key, hp)
    _, metrics = jax.jit(lambda s: jax.lax.scan(lambda s, _: algorithm.step(s, hp), s, length=250))(state)
    assert not metrics.nonfinite.any()
    reward, cost = (float(x[-50:].mean()) for x in (metrics.episode_reward, metrics.episode_cost))
    if name == "trpo":
        assert reward > -0.5
        assert cost == pytest.approx(16.0, rel=0.1)
    else:
        assert cost <= 1.1 * limit
        # CUP goes back and forth across the limit by whole descents, and ends a little inside of it.
        assert reward == pytest.approx(float(TugOfWar().optimum(limit)), rel=0.4 if name == "cup" else 0.1)


@pytest.mark.parametrize("name", slow_but(["espo", "cup"], algorithms.RULES))
def test_action_repeat_is_only_a_unit(name, key):
    """Repeating each action 4 times is the task of a quarter of the steps, which reward and cost 4 times as much.

    So V_r, V_c, PCPO's violation, CUP's horizon, the multipliers and every parameter are the same.
    """
    _, init, step = compiled(name, BY_CONFLICT)  # of 8 steps
    repeating, repeating_init, repeating_step = compiled(
        name, dataclasses.replace(BY_CONFLICT, action_repeat=4), episode_length=32, cost_scale=0.25, reward_scale=0.25
    )
    hp = hyperparams(cost_limit=5.0, zeta_positive=0.2, zeta_negative=-0.5, multiplier_init=0.5)
    a, b = init(key, hp), repeating_init(key, hp)
    for _ in range(3):
        a, a_metrics = step(a, hp)
        b, b_metrics = repeating_step(b, hp)
        chex.assert_trees_all_close(b_metrics, a_metrics, rtol=2e-3, atol=1e-5)
        chex.assert_trees_all_close(b.policy, a.policy, rtol=2e-3, atol=2e-4)
    # A policy without noise at distance 1 from home costs 1/4 in each of the 32 control steps, 8 agent steps of 4.
    quiet = jnp.where(jnp.arange(b.policy.size) >= b.policy.size - 2, -8.0, with_mean(repeating, b, (1.0, -1.0)).policy)
    _, metrics = repeating_step(b.replace(policy=quiet), hp)
    assert float(metrics.episode_cost[0]) == pytest.approx(8.0, rel=0.02)
    assert float(metrics.episode_reward) == pytest.approx(-8.0, rel=0.02)
    assert float(metrics.episode_length) == 8


# On fixed samples, in double precision.


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", ["ppo_lagrangian", "cup", "pcpo", "crpo", "espo"])
def test_no_constraint_counts_during_the_warm_up(name):
    warm = update(name, pose(500.0, slack_positive=0.0, **{**FIRST_ORDER, "warmup_iterations": 1}))
    blind = update(name, pose(0.0, slack_negative=0.0, **{**FIRST_ORDER, "multiplier_init": 0.0}))
    chex.assert_trees_all_close(warm.step, blind.step, atol=1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "name",
    slow_but(
        ["espo", "pcpo", "cup", "espo in mode cost"],
        ["espo", "crpo", "pcpo", "cup", "ppo_lagrangian", "espo in mode cost"],
    ),
)
@pytest.mark.parametrize("cost", [40.0001, 60.0])
def test_identical_constraints_behave_as_one(name, cost):
    """For the multipliers, whose sum counts: with a K-th of start and learning rate each."""
    name, *mode = name.split(" ", 1)
    slack = {"slack_positive": 0.0, "slack_negative": 0.0} if mode else {}
    for copies in (2, 3):
        results = []
        for k in (1, copies):
            shared = {"multiplier_init": 0.3 / k, "multiplier_learning_rate": 0.07 / k}
            radius = {} if name in ("cup", "ppo_lagrangian") else {"target_kl": RADIUS}
            results.append(update(name, pose(cost, copies=k, **{**FIRST_ORDER, **shared, **radius, **slack})))
            assert not mode or not results[-1].active[0]
        one, several = results
        chex.assert_trees_all_close(several.step, one.step, rtol=1e-4, atol=1e-3 * float(jnp.abs(one.step).max()))


# The names of the algorithms.


def test_unknown_algorithm_names_the_known():
    with pytest.raises(ValueError, match="algorithm is 'sac': it must be one of espo, pcrpo, crpo, pcpo, cup,"):
        algorithms.make("sac", TugOfWar())


@pytest.mark.parametrize("name", algorithms.RULES)
def test_every_rule_has_its_name_and_a_trainer(name):
    rule = algorithms.RULES[name]
    assert rule.name == name
    trainer = getattr(espo_jax, name)
    assert trainer.rule is rule
    assert callable(trainer.train)
    assert name in espo_jax.__all__
    assert trainer.make(TugOfWar(), TINY_CONFIG).config == algorithms.make(name, TugOfWar(), TINY_CONFIG).config
