"""Sizes, schedules and settings of the iteration that all algorithms share."""

import dataclasses
from types import SimpleNamespace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from espo_jax import Hyperparams, espo, modes, sample_size, surrogate
from espo_jax.algorithms import iteration
from espo_jax.algorithms.metrics import NONFINITE_QUANTITIES, fetch
from tests import references
from tests.probe_envs import TugOfWar
from tests.problems import TINY_CONFIG, UPDATE_CONFIG, compiled, hyperparams, pose, with_mean
from tests.slow_cases import slow_but

# So far apart that the noise of actions matters little: half way between the two, reward and cost conflict.
FAR = {"goal": (3.0, 0.0), "home": (0.0, -3.0)}
BETWEEN = (1.5, -1.5)


@pytest.mark.parametrize(
    ("num_envs", "base", "sizes"),
    slow_but(
        [(64, 64, (70, 45)), (7, 80, (88, 56))],
        [(64, 64, (70, 45)), (64, 80, (88, 56)), (16, 80, (88, 56)), (7, 80, (88, 56))],
    ),
)
def test_the_sample_size_is_the_rule_s_to_one_sample_at_every_width(num_envs, base, sizes, key):
    """X(1 + 0.1) after a conflict, X(1 - 0.3) else; with whole time steps both would be 64 of 64."""
    config = dataclasses.replace(TINY_CONFIG, num_envs=num_envs, base_sample_size=base, block_size=num_envs)
    algorithm, init, step = compiled("espo", config, **FAR)
    hp = hyperparams(config)
    state, expected, total = init(key, hp), base, 0
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


def test_one_trace_for_every_size_mode_and_setting(key):
    algorithm, init, _ = compiled("espo")
    chex.clear_trace_counter()
    step = jax.jit(chex.assert_max_traces(algorithm.step, n=1))
    state = init(key, hyperparams())
    sizes, seen = set(), set()
    settings = [
        hyperparams(cost_limit=1e6, slack_negative=0.0),  # reward only
        hyperparams(cost_limit=0.0, slack_positive=0.0),  # cost only
        hyperparams(zeta_positive=0.2, zeta_negative=-0.5, discount=0.9, target_kl=0.01),  # the band
        hyperparams(zeta_positive=0.0, zeta_negative=0.0, anneal_zeta_negative=True),
    ]
    between, beyond = (0.5, -0.5), (2.0, -2.0)
    for index in range(100):
        state = with_mean(algorithm, state, between if index % 3 else beyond)
        state, metrics = step(state, settings[index % 4])
        sizes.add(int(metrics.sample_size))
        seen.add(modes.MODE_NAMES[int(metrics.mode)])
    assert step._cache_size() == 1
    assert seen == set(modes.MODE_NAMES)
    assert sizes >= {40, 56, 80, 96}
    chex.assert_trees_all_equal(state.mode_counts.sum(), 100)


def test_sample_size_follows_the_conflict_of_the_iteration_before(key):
    algorithm, init, step = compiled("espo")
    hp = hyperparams(zeta_positive=0.2, zeta_negative=-0.5)
    state = init(key, hp)
    expected, env_steps, outcomes = 80, 0, set()
    for mean in [(0.5, -0.5), (0.5, -0.5), (2.0, -2.0), (0.5, -0.5), (2.0, -2.0), (2.0, -2.0)]:
        state, metrics = step(with_mean(algorithm, state, mean), hp)
        env_steps += expected
        assert (int(metrics.sample_size), int(metrics.env_steps)) == (expected, env_steps)
        conflicting = float(metrics.conflict_angle) > 90
        assert int(metrics.mode) == (modes.CONFLICT if conflicting else modes.ALIGNED)
        outcomes.add(conflicting)
        expected = 96 if conflicting else 40
    assert outcomes == {True, False}


def test_scan_over_iterations_equals_a_loop(key):
    algorithm, init, step = compiled("espo")
    hp = hyperparams()
    start = init(key, hp)
    scanned, metrics = jax.jit(lambda s: jax.lax.scan(lambda s, _: algorithm.step(s, hp), s, length=3))(start)
    state = start
    for _ in range(3):
        state, last = step(state, hp)
    chex.assert_trees_all_close(scanned.policy, state.policy, rtol=1e-4, atol=1e-5)
    assert fetch(metrics).env_steps[-1] == fetch(last).env_steps


def test_chunks_of_the_rollout_change_nothing(key):
    def two_iterations(chunk):
        algorithm = espo.make(TugOfWar(), dataclasses.replace(TINY_CONFIG, rollout_chunk=chunk))
        assert algorithm.config.steps_per_chunk == chunk
        state = algorithm.init(key, hyperparams())
        step = jax.jit(algorithm.step)
        state, first = step(state, hyperparams())
        return first, *step(state, hyperparams())

    (first, state, second), (first_in_chunks, state_in_chunks, second_in_chunks) = map(two_iterations, (1, 4))
    chex.assert_trees_all_close((first_in_chunks, second_in_chunks), (first, second), rtol=1e-5)
    np.testing.assert_allclose(state_in_chunks.policy, state.policy, rtol=1e-5, atol=1e-7)


def test_changed_hyperparams_do_not_recompile_and_are_checked(key):
    _, init, step = compiled("espo")
    hp = hyperparams()
    state = init(key, hp)
    step(state, hp)
    before = step._cache_size()
    for changes in ({"target_kl": 0.01}, {"target_kl": 1}, {"warmup_iterations": 3}, {"cost_limit": [1]}):
        step(state, hp.replace(**changes))
    assert step._cache_size() == before
    with pytest.raises(ValueError, match="zeta_negative"):
        hp.replace(zeta_negative=-3.0)
    swept = jax.vmap(lambda b: Hyperparams.create(cost_limit=b, slack_negative=-np.inf))(jnp.array([1.0, 2.0]))
    chex.assert_shape([swept.cost_limit, swept.slack_negative], (2, 1))


@pytest.mark.parametrize("algorithm", ["espo", "ppo_lagrangian"])
def test_the_defaults_see_conflicts_and_take_more_samples_after_them(algorithm, key):
    """Nothing is given but a limit: the band has a width, and training does not begin with a warm-up."""
    config = dataclasses.replace(TINY_CONFIG, sample_size_rule="gradient_conflict")
    built, init, step = compiled(algorithm, config, **FAR)
    hp = Hyperparams.create(cost_limit=1.0, config=config)
    state = with_mean(built, init(key, hp), BETWEEN)
    cost = float(step(state, hp)[1].episode_cost[0])
    for share, size in ((0.8, 56), (1.0, 88), (1.2, 56)):  # below, in and above a band of 10 % of the limit
        after, metrics = step(state, Hyperparams.create(cost_limit=cost / share, config=config))
        assert float(metrics.conflict_angle) > 90
        assert int(after.sample_size) == size


# Schedules, and the rules of the sample size.


def with_two_constraints(**changes):
    return hyperparams(cost_limit=[8.0, 8.0], slack_positive=4.0, slack_negative=-2.0, **changes)


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("name", ["slack_positive", "slack_negative"])
def test_each_slack_anneals_on_its_own_switch(name, horizon, key):
    _, init, step = compiled("espo", home=((0.0, -1.0), (0.5, 0.5)))
    hp = with_two_constraints(num_iterations=horizon, **{f"anneal_{name}": True})
    state = init(key, hp)
    for done in (1, 2):
        state, metrics = step(state, hp)
        for slack, start in (("slack_positive", 4.0), ("slack_negative", -2.0)):
            expected = references.anneal(start, horizon, done) if slack == name else start
            np.testing.assert_allclose(getattr(metrics, slack), [expected, expected], rtol=1e-5)


def next_size(hp, *, conflicting, done=0, rule="gradient_conflict"):
    """What the rule makes of an iteration in the band whose objectives conflict, or not."""
    angle = 2 * np.pi / 3 if conflicting else np.pi / 3
    gram = jnp.array([[1.0, np.cos(angle)], [np.cos(angle), 1.0]])
    choice = modes.ModeChoice(jnp.array(True), jnp.ones(2, bool), jnp.full(2, 0.5))
    config = dataclasses.replace(TINY_CONFIG, sample_size_rule=rule)
    problem = SimpleNamespace(choice=choice, config=config, hyperparams=hp, batch=None, key=jax.random.key(0))
    update = SimpleNamespace(gram=gram)
    return int(iteration.next_sample_size(sample_size.RULES[rule], problem, update, jnp.int32(done)))


@pytest.mark.parametrize("name", ["zeta_positive", "zeta_negative", None])
def test_each_zeta_anneals_on_its_own_switch(name):
    switches = {} if name is None else {f"anneal_{name}": True}
    hp = with_two_constraints(num_iterations=2, zeta_positive=0.2, zeta_negative=-0.5, **switches)
    for conflicting, start, zeta in ((True, 0.2, "zeta_positive"), (False, -0.5, "zeta_negative")):
        for done in (0, 1):
            value = references.anneal(start, 2, done + 1) if zeta == name else start
            assert next_size(hp, conflicting=conflicting, done=done) == round(80 * (1 + value))


def test_rules_apart_from_the_paper_s():
    hp = with_two_constraints(zeta_positive=0.2, zeta_negative=-0.4)
    assert next_size(hp, conflicting=True, rule="fixed") == 80
    for conflicting, share in ((True, 2 / 3), (False, 1 / 3)):
        size = next_size(hp, conflicting=conflicting, rule="conflict_angle")
        assert size == pytest.approx(80 * (0.6 + 0.6 * share), abs=0.5001)


@pytest.mark.parametrize("rule", ["norm_test", "inner_product_test"])
def test_variance_tests_are_the_papers_on_single_samples(rule, x64):
    """In blocks of one sample each the estimate from blocks is the papers' from samples."""
    room = dataclasses.replace(UPDATE_CONFIG, max_zeta_positive=1e5)
    problem = pose(30.0, config=room, variance_tolerance=0.7, zeta_positive=1e5, zeta_negative=-0.999999)
    config = dataclasses.replace(room, sample_size_rule=rule, num_envs=3, base_sample_size=3)
    one_sample = problem.batch.blocks.replace(size=1, count=jnp.int32(20))
    flat = jax.tree.map(lambda x: x.reshape(72, 1, *x.shape[2:]) if x.shape[:2] == (24, 3) else x, problem.batch)
    batch = flat._replace(blocks=one_sample, mask=jnp.arange(72)[:, None] < 20)
    problem = problem._replace(batch=batch, config=config)
    weight = jnp.array([0.6, 0.4])

    def gradient(o, a, log_prob, advantage):
        def objective(p):
            ones = jnp.ones(1, bool)
            return surrogate.surrogate(problem.networks.policy(p, o), a, log_prob, advantage, ones) @ weight

        return jax.grad(objective)(problem.params)

    samples = np.asarray(jax.vmap(gradient)(batch.observation, batch.action, batch.log_prob, batch.advantage))[:20]
    expected = getattr(references, f"{rule}_size")(samples, 0.7)
    update = SimpleNamespace(weight=weight, gram=jnp.eye(2))
    size = iteration.next_sample_size(sample_size.RULES[rule], problem, update, jnp.int32(0))
    assert int(size) == pytest.approx(expected, abs=0.5001)


def test_a_rule_can_be_passed_as_a_function(key):
    seen = []

    def half_after_each(evidence):
        seen.append(evidence.base)
        return jnp.where(evidence.balance, 0.5, 1.25) * evidence.base + 0.4

    algorithm = espo.make(TugOfWar(), TINY_CONFIG, half_after_each)
    hp = hyperparams(slack_positive=0.0, slack_negative=0.0)  # needs no band
    state, step = compiled("espo").init(key, hp), jax.jit(algorithm.step)
    algorithm.check(hp)
    after, _ = step(state, hp)
    assert int(after.sample_size) == 96, "1.25 X is bounded by the capacity of 1.2 X"
    band = hp.replace(slack_positive=np.inf, slack_negative=-np.inf, config=TINY_CONFIG)
    after, _ = step(state, band)
    assert int(after.sample_size) == 40
    assert seen == [80], "traced once"


def test_a_rule_that_gives_nan_is_reported_and_nothing_is_learned(key):
    algorithm = espo.make(TugOfWar(), TINY_CONFIG, lambda evidence: evidence.base * jnp.nan)
    hp = hyperparams()
    state = compiled("espo").init(key, hp)
    after, metrics = jax.jit(algorithm.step)(state, hp)
    assert NONFINITE_QUANTITIES[-1] == "sample size"
    assert int(metrics.nonfinite) == 1 << NONFINITE_QUANTITIES.index("sample size")
    assert int(after.sample_size) == 80
    chex.assert_trees_all_equal(after.policy, state.policy)


def test_train_takes_a_rule_as_a_function_or_by_name():
    settings = {name: getattr(TINY_CONFIG, name) for name in ("num_envs", "base_sample_size", "block_size")}
    settings |= {"policy_hidden_sizes": (8,), "critic_hidden_sizes": (8,), "lbfgs_iterations": 2}
    settings |= {"cost_limit": 8.0, "preset": "none"}
    sizes = {}
    for rule in (lambda evidence: 0.9 * evidence.base, "fixed", None):
        *_, metrics = espo.train(TugOfWar(), num_iterations=2, num_evals=0, sample_size_rule=rule, **settings)
        sizes[rule if isinstance(rule, str | None) else "own"] = metrics["training/sample_size"]
    assert sizes == {"own": 72, "fixed": 80, None: 56}


# Other settings of an iteration.


def test_restarting_episodes_every_iteration(key):
    config = dataclasses.replace(TINY_CONFIG, reset_each_iteration=True, base_sample_size=48, max_zeta_positive=0.0)
    _, init, step = compiled("espo", config)
    hp = Hyperparams.create(cost_limit=8.0, zeta_positive=0.0, zeta_negative=-0.25, config=config)
    state = init(key, hp)
    for finished in (4, 4, 4):  # 12 steps, then 9: one whole episode of 8 in each of the 4 environments
        state, metrics = step(state, hp)
        assert int(metrics.episodes_finished) == finished
    assert step._cache_size() == 1


def test_adam_critics_learn_in_the_same_program(key):
    config = dataclasses.replace(TINY_CONFIG, critic_optimizer="adam", critic_minibatch_size=16, critic_passes=20)
    _, init, step = compiled("espo", config)
    hp = hyperparams(critic_learning_rate=1e-2)
    state = init(key, hp)
    losses = []
    for _ in range(8):
        state, metrics = step(state, hp)
        losses.append(float(metrics.critic_loss.sum()))
    assert losses[-1] < 0.7 * losses[0]
    assert step._cache_size() == 1
