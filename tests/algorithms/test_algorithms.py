"""What every algorithm shares: one program, lanes that do not disturb each other, limits that are met."""

import dataclasses
import importlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from espo_jax import algorithms, modes, sample_size
from espo_jax.config import Config
from espo_jax.hyperparams import Hyperparams
from tests.algorithms.probe_envs import TugOfWar
from tests.algorithms.test_espo import with_mean

TINY = Config(
    num_envs=4, base_sample_size=80, block_size=16, max_zeta_positive=0.2, policy_hidden_sizes=(8,),
    critic_hidden_sizes=(8,), cg_iterations=5, lbfgs_iterations=3, fisher_stride=2, normalize_observations=False,
    policy_passes=3, policy_minibatch_size=16,
)  # fmt: skip


def make(name, config=TINY, env=None, **settings):
    algorithm = algorithms.load(name).make(env or TugOfWar(), config)
    defaults = {"cost_limit": 8.0, "warmup_iterations": 0, "slack_negative": -np.inf, "slack_positive": np.inf}
    return algorithm, Hyperparams.create(**{**defaults, **settings}, config=config)


@pytest.mark.usefixtures("quick_compile")
@pytest.mark.parametrize("name", algorithms.NAMES)
def test_one_program_for_every_size_setting_and_lane(name, key):
    """With gradient-conflict sizes; three lanes under vmap take different numbers of samples."""
    config = dataclasses.replace(TINY, sample_size_rule="gradient_conflict")
    algorithm, hp = make(name, config, zeta_positive=0.2, zeta_negative=-0.5)
    lanes = [hp, hp.replace(slack_negative=0.0, cost_limit=1e6, zeta_negative=-0.7), hp.replace(cost_limit=1.0)]
    chex.clear_trace_counter()
    step = jax.jit(chex.assert_max_traces(algorithm.step, n=1))
    keys = jax.random.split(key, 3)
    alone = [algorithm.init(k, lane) for k, lane in zip(keys, lanes, strict=True)]
    stack = lambda trees: jax.tree.map(lambda *x: jnp.stack(x), *trees)  # noqa: E731
    together, settings = stack(alone), stack(lanes)
    over_lanes = jax.jit(jax.vmap(algorithm.step))  # counted by its cache
    sizes = set()
    for _ in range(3):
        together, metrics = over_lanes(together, settings)
        results = [step(state, lane) for state, lane in zip(alone, lanes, strict=True)]
        alone, expected = [state for state, _ in results], stack([m for _, m in results])
        chex.assert_trees_all_equal(metrics.sample_size, expected.sample_size)
        chex.assert_trees_all_close(together.policy, stack(alone).policy, rtol=5e-3, atol=5e-3)
        assert not expected.nonfinite.any()
        assert (expected.kl >= 0).all()
        sizes |= set(np.asarray(expected.sample_size).tolist())
    assert len(sizes) >= 3
    assert (step._cache_size(), over_lanes._cache_size()) == (1, 1)


@pytest.mark.usefixtures("quick_compile")
@pytest.mark.parametrize("rule", sample_size.RULES)
@pytest.mark.parametrize("name", ["espo", "ppo_lagrangian"])
def test_every_rule_stays_between_its_bounds(name, rule, key):
    algorithm, hp = make(name, dataclasses.replace(TINY, sample_size_rule=rule), zeta_positive=0.2, zeta_negative=-0.5)
    state = algorithm.init(key, hp)
    step = jax.jit(algorithm.step)
    sizes = []
    for _ in range(4):
        state, metrics = step(state, hp)
        assert int(metrics.nonfinite) == 0
        sizes.append(int(metrics.sample_size))
    assert sizes[0] == 80
    allowed = {"fixed": {80}, "gradient_conflict": {80, 40, 96}}.get(rule)
    assert set(sizes) <= allowed if allowed else all(40 <= size <= 96 for size in sizes)


@pytest.mark.usefixtures("quick_compile")
def test_espo_on_a_fixed_size_is_pcrpo_to_the_bit(key):
    """However much room ESPO's buffer was given."""
    espo, hp = make("espo", dataclasses.replace(TINY, sample_size_rule="fixed", max_zeta_positive=0.9))
    pcrpo, _ = make("pcrpo", TINY)
    a, b = espo.init(key, hp), pcrpo.init(key, hp)
    for _ in range(4):
        a, a_metrics = jax.jit(espo.step)(a, hp)
        b, b_metrics = jax.jit(pcrpo.step)(b, hp)
        chex.assert_trees_all_equal((a, a_metrics), (b, b_metrics))


@pytest.mark.usefixtures("quick_compile")
@pytest.mark.parametrize("metric", ["natural", "euclidean", "fisher"])
def test_pcrpo_without_slack_is_crpo(metric, key):
    config = dataclasses.replace(TINY, conflict_metric=metric)
    pcrpo, hp = make("pcrpo", config, slack_negative=0.0, slack_positive=0.0)
    crpo, _ = make("crpo", config)
    a, b = pcrpo.init(key, hp), crpo.init(key, hp)
    steps, seen = (jax.jit(pcrpo.step), jax.jit(crpo.step)), set()
    for limit in (8.0, 1e6, 1.0, 20.0, 12.0):
        hp = hp.replace(cost_limit=limit)
        a, a_metrics = steps[0](a, hp)
        b, b_metrics = steps[1](b, hp)
        chex.assert_trees_all_close(a.policy, b.policy, rtol=1e-6)
        assert int(a_metrics.mode) == int(b_metrics.mode)
        seen.add(int(a_metrics.mode))
    assert seen == {modes.REWARD, modes.COST}


@pytest.mark.usefixtures("quick_compile")
@pytest.mark.parametrize("resolution", ["weighted", "min_norm", "cagrad"])
@pytest.mark.parametrize("metric", ["natural", "euclidean", "fisher"])
def test_resolutions_in_every_metric(resolution, metric, key):
    """Under conflict each takes another step than the projection; without a band none of them matters."""
    updates = {}
    for how in ("projection", resolution):
        config = dataclasses.replace(
            TINY, conflict_resolution=how, conflict_metric=metric, num_envs=64, base_sample_size=2560, block_size=640
        )
        # So far apart that the noise, of which less serves both, matters little.
        algorithm, hp = make("espo", config, TugOfWar(goal=(3.0, 0.0), home=(0.0, -3.0)))
        state = with_mean(algorithm, algorithm.init(key, hp), (1.5, -1.5))  # half way between the two
        step = jax.jit(algorithm.step)
        inside, metrics = step(state, hp)
        outside, _ = step(state, hp.replace(cost_limit=1e6, slack_negative=0.0))
        updates[how] = inside.policy, outside.policy
        assert int(metrics.nonfinite) == 0
        assert int(metrics.mode) == modes.CONFLICT
    chex.assert_trees_all_equal(updates["projection"][1], updates[resolution][1])
    assert not jnp.allclose(updates["projection"][0], updates[resolution][0])


# What a limit of 4 of the 16 that the goal costs leaves of the reward; TRPO goes to the goal itself.
@pytest.mark.parametrize("name", algorithms.NAMES)
def test_finds_the_constrained_optimum(name, key):
    env, limit = TugOfWar(), 4.0
    config = Config(
        num_envs=16, base_sample_size=512, block_size=256, max_zeta_positive=0.1, policy_hidden_sizes=(8,),
        critic_hidden_sizes=(8,), fisher_stride=1, normalize_observations=False, lbfgs_iterations=5,
        policy_passes=10, policy_minibatch_size=64,
    )  # fmt: skip
    algorithm, hp = make(
        name, config, env, cost_limit=limit, slack_positive=0.0, slack_negative=-0.1, target_kl=0.01,
        policy_learning_rate=3e-3, multiplier_learning_rate=0.01,
    )  # fmt: skip
    state = algorithm.init(key, hp)
    _, metrics = jax.jit(lambda s: jax.lax.scan(lambda s, _: algorithm.step(s, hp), s, length=250))(state)
    assert not metrics.nonfinite.any()
    reward, cost = (float(x[-50:].mean()) for x in (metrics.episode_reward, metrics.episode_cost))
    if name == "trpo":
        assert reward > -0.5
        assert cost == pytest.approx(16.0, rel=0.1)
    else:
        assert cost <= 1.1 * limit
        # CUP goes back and forth across the limit by whole descents, and ends a little inside of it.
        assert reward == pytest.approx(float(env.optimum(limit)), rel=0.4 if name == "cup" else 0.1)


def test_makes_no_sense_without_several_objectives():
    config = dataclasses.replace(TINY, conflict_resolution="min_norm")
    for name in ("trpo", "crpo", "pcpo", "cup", "ppo_lagrangian"):
        with pytest.raises(ValueError, match=f"conflict_resolution is 'min_norm': {name} has no balance mode"):
            algorithms.load(name).make(TugOfWar(), config)


def test_unknown_algorithm_names_the_known():
    with pytest.raises(ValueError, match="unknown algorithm 'sac'; known algorithms: espo, pcrpo, crpo, pcpo, cup,"):
        algorithms.load("sac")


def test_every_module_has_the_same_functions():
    for name in algorithms.NAMES:
        module = importlib.import_module(f"espo_jax.algorithms.{name}")
        assert module.RULE.name == name
        assert callable(module.train)


@pytest.mark.usefixtures("quick_compile")
@pytest.mark.parametrize("name", algorithms.NAMES)
def test_action_repeat_is_only_a_unit(name, key):
    """Repeating each action 4 times is the task whose steps reward and cost 4 times as much, on a quarter of the steps.

    So V_r, V_c, PCPO's violation, CUP's horizon, the multipliers and every parameter are the same.
    """
    config = dataclasses.replace(TINY, sample_size_rule="gradient_conflict")
    settings = {"cost_limit": 20.0, "zeta_positive": 0.2, "zeta_negative": -0.5, "multiplier_init": 0.5}
    plain, hp = make(name, config, TugOfWar(episode_length=8, cost_scale=4.0, reward_scale=4.0), **settings)
    repeating, _ = make(name, dataclasses.replace(config, action_repeat=4), TugOfWar(episode_length=32), **settings)
    a, b = plain.init(key, hp), repeating.init(key, hp)
    steps = jax.jit(plain.step), jax.jit(repeating.step)
    for _ in range(3):
        a, a_metrics = steps[0](a, hp)
        b, b_metrics = steps[1](b, hp)
        chex.assert_trees_all_close(b_metrics, a_metrics, rtol=2e-3, atol=1e-5)
        chex.assert_trees_all_close(b.policy, a.policy, rtol=2e-3, atol=2e-4)
    # A policy without noise at distance 1 from home costs 1 in each of the 32 control steps, 8 agent steps of 4.
    quiet = jnp.where(jnp.arange(b.policy.size) >= b.policy.size - 2, -8.0, with_mean(repeating, b, (1.0, -1.0)).policy)
    _, metrics = steps[1](b.replace(policy=quiet), hp)
    assert float(metrics.episode_cost[0]) == pytest.approx(32.0, rel=0.02)
    assert float(metrics.episode_reward) == pytest.approx(-32.0, rel=0.02)
    assert float(metrics.episode_length) == 8
