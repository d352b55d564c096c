import dataclasses
import functools
from types import SimpleNamespace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from espo_jax import conflict, espo, linalg, modes, natural_gradient, surrogate
from espo_jax.algorithms import core
from espo_jax.algorithms.steps import every_nth_step, improvement_and_kl
from espo_jax.algorithms.types import NONFINITE_QUANTITIES, Batch, Update, UpdateRule, fetch
from espo_jax.config import Config
from espo_jax.episode_estimate import EpisodeEstimate
from espo_jax.hyperparams import Hyperparams
from tests import references
from tests.algorithms.probe_envs import TugOfWar
from tests.core.problems import make_problem
from tests.core.test_natural_gradient import dense_fisher

TINY = Config(
    num_envs=4, base_sample_size=80, block_size=16, max_zeta_positive=0.2, policy_hidden_sizes=(8,),
    critic_hidden_sizes=(8,), cg_iterations=5, lbfgs_iterations=3, fisher_stride=2, normalize_observations=False,
)  # fmt: skip
HP = functools.partial(
    Hyperparams.create, config=TINY, warmup_iterations=0, slack_negative=-np.inf, slack_positive=np.inf
)


@pytest.fixture(scope="module")
def algorithm():
    return espo.make(TugOfWar(), TINY)


@pytest.fixture(scope="module")
def step(algorithm):
    return jax.jit(algorithm.step)


def with_mean(algorithm, state, mean):
    """The same state with a policy that acts around `mean` (the observation is constant)."""
    variables = algorithm.networks.unravel_policy(state.policy)
    variables = jax.tree.map(jnp.zeros_like, variables)
    variables["params"]["MLP_0"]["Dense_1"]["bias"] = jnp.array(mean)
    flat, _ = jax.flatten_util.ravel_pytree(variables)
    return state.replace(policy=flat)


def test_one_trace_for_every_size_mode_and_setting(algorithm, key):
    chex.clear_trace_counter()
    step = jax.jit(chex.assert_max_traces(algorithm.step, n=1))
    state = jax.jit(algorithm.init)(key, HP(cost_limit=8.0))
    sizes, seen = set(), set()
    settings = [
        HP(cost_limit=1e6, slack_negative=0.0),  # reward only
        HP(cost_limit=0.0, slack_positive=0.0),  # cost only
        HP(cost_limit=8.0, zeta_positive=0.2, zeta_negative=-0.5, discount=0.9, target_kl=0.01),  # the band
        HP(cost_limit=8.0, zeta_positive=0.0, zeta_negative=0.0, anneal_zeta_negative=True),
    ]
    between, beyond = (0.5, -0.5), (2.0, -2.0)
    for iteration in range(100):
        state = with_mean(algorithm, state, between if iteration % 3 else beyond)
        state, metrics = step(state, settings[iteration % 4])
        sizes.add(int(metrics.sample_size))
        seen.add(modes.MODE_NAMES[int(metrics.mode)])
    assert step._cache_size() == 1
    assert seen == set(modes.MODE_NAMES)
    assert sizes >= {40, 56, 80, 96}
    chex.assert_trees_all_equal(state.mode_counts.sum(), 100)


def test_sample_size_follows_the_conflict_of_the_iteration_before(algorithm, step, key):
    hp = HP(cost_limit=8.0, zeta_positive=0.2, zeta_negative=-0.5)
    state = algorithm.init(key, hp)
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


def test_episode_cost_is_that_of_the_task(algorithm, step, key):
    """A policy of nearly no noise at distance 1 from home costs 8 an episode of 8 steps."""
    state = with_mean(algorithm, algorithm.init(key, HP(cost_limit=8.0)), (1.0, -1.0))
    log_std = jnp.arange(state.policy.size) >= state.policy.size - 2
    flat = jnp.where(log_std, -8.0, state.policy)
    names = jax.tree.leaves_with_path(algorithm.networks.unravel_policy(flat))
    assert any("log_std" in str(path) and (leaf == -8.0).all() for path, leaf in names)
    _, metrics = step(state.replace(policy=flat), HP(cost_limit=8.0))
    assert float(metrics.episode_cost[0]) == pytest.approx(8.0, rel=0.02)
    assert float(metrics.episode_reward) == pytest.approx(-8.0, rel=0.02)
    assert float(metrics.episode_length) == 8


def stacked(trees):
    return jax.tree.map(lambda *x: jnp.stack(x), *trees)


def test_vmapped_lanes_equal_their_sequential_runs(algorithm, step, key):
    """Three seeds with three settings, so that the lanes take different numbers of samples."""
    keys = jax.random.split(key, 3)
    settings = [
        HP(cost_limit=8.0, zeta_positive=0.2, zeta_negative=-0.5),
        HP(cost_limit=1e6, slack_negative=0.0, zeta_negative=-0.7),
        HP(cost_limit=0.5, slack_positive=0.0, zeta_negative=0.0),
    ]
    lanes = stacked([algorithm.init(k, hp) for k, hp in zip(keys, settings, strict=True)])
    together = jax.jit(jax.vmap(algorithm.step))
    alone = [algorithm.init(k, hp) for k, hp in zip(keys, settings, strict=True)]
    for _ in range(4):
        lanes, metrics = together(lanes, stacked(settings))
        results = [step(state, hp) for state, hp in zip(alone, settings, strict=True)]
        alone = [state for state, _ in results]
        expected = stacked([m for _, m in results])
        chex.assert_trees_all_equal(metrics.sample_size, expected.sample_size)
        chex.assert_trees_all_equal(metrics.mode, expected.mode)
        chex.assert_trees_all_close(metrics.episode_cost, expected.episode_cost, rtol=1e-3)
        chex.assert_trees_all_close(lanes.policy, stacked(alone).policy, rtol=2e-3, atol=2e-3)
    assert len(set(np.asarray(metrics.sample_size).tolist())) == 3


def test_scan_over_iterations_equals_a_loop(algorithm, step, key):
    hp = HP(cost_limit=8.0)
    start = algorithm.init(key, hp)
    scanned, metrics = jax.jit(lambda s: jax.lax.scan(lambda s, _: algorithm.step(s, hp), s, length=3))(start)
    state = start
    for _ in range(3):
        state, last = step(state, hp)
    chex.assert_trees_all_close(scanned.policy, state.policy, rtol=1e-4, atol=1e-5)
    assert fetch(metrics).env_steps[-1] == fetch(last).env_steps


def trpo_update(problem, state):
    """Unconstrained TRPO from the same parts: what ESPO must be without a cost."""
    networks, params, batch, hp = problem.networks, problem.params, problem.batch, problem.hyperparams
    args = (batch.observation, batch.action, batch.log_prob, batch.advantage[..., :1], batch.mask, batch.blocks)
    gradient = surrogate.surrogate_gradients(networks.policy, params, *args)
    fisher = natural_gradient.fisher_product(
        networks.policy, params, *every_nth_step(batch, problem.config.fisher_stride), damping=hp.cg_damping
    )
    direction = natural_gradient.conjugate_gradient(fisher, gradient, num_iterations=problem.config.cg_iterations)
    curvature = linalg.dot(direction, fisher(direction))
    full = natural_gradient.kl_scaled_step(direction, curvature, hp.target_kl)
    reward_only = problem._replace(batch=batch._replace(advantage=batch.advantage[..., :1]))
    search = natural_gradient.line_search(
        lambda change: improvement_and_kl(reward_only, change, jnp.ones((1, 1))),
        full,
        linalg.dot(gradient, full),
        max_kl=hp.kl_margin * hp.target_kl,
        accept_ratio=hp.accept_ratio,
        num_steps=problem.config.line_search_steps,
    )
    zero = jnp.float32(0)
    reward = jnp.array([True, False])
    return Update(
        (search.fraction[:, None] * full)[0], reward, reward.astype(jnp.float32), jnp.eye(2), search.kl[0],
        search.fraction[0], zero, jnp.zeros(1),
    )  # fmt: skip


def test_without_cost_and_zeta_it_is_trpo_step_for_step(key):
    env = TugOfWar(cost_scale=0.0)
    hp = HP(cost_limit=25.0, slack_negative=0.0, zeta_positive=0.0, zeta_negative=0.0)
    ours, theirs = espo.make(env, TINY), core.make(env, TINY, UpdateRule("trpo", trpo_update))
    a, b = ours.init(key, hp), theirs.init(key, hp)
    our_step, their_step = jax.jit(ours.step), jax.jit(theirs.step)
    for _ in range(6):
        a, our_metrics = our_step(a, hp)
        b, their_metrics = their_step(b, hp)
        chex.assert_trees_all_close(a.policy, b.policy, rtol=1e-4, atol=1e-5)
        assert int(our_metrics.sample_size) == int(their_metrics.sample_size) == 80
        assert int(our_metrics.mode) == modes.REWARD
    assert float(our_metrics.kl) > 0


UPDATE_CONFIG = Config(
    policy_hidden_sizes=(8,), critic_hidden_sizes=(8,), cg_iterations=200, fisher_stride=1, block_size=64
)


@pytest.mark.usefixtures("quick_compile")
@pytest.mark.parametrize("metric", ["natural", "euclidean", "fisher"])
@pytest.mark.parametrize("mode", ["reward", "cost", "balance"])
@pytest.mark.parametrize("opposed", [False, True])
@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_update_equals_the_dense_reference(x64, metric, mode, opposed, weight):
    """One whole update against dense linear algebra, with a radius so small that every full step is accepted."""
    p = make_problem(24)
    cost_advantage = (-p.advantage[..., 0] if opposed else p.advantage[..., 0]) + 0.5 * p.advantage[..., 1]
    advantage = jnp.stack([p.advantage[..., 0], cost_advantage], axis=-1)
    distribution = p.networks.policy(p.params, p.observation)
    batch = Batch(p.observation, p.action, p.log_prob, distribution, advantage, jnp.ones(2), p.mask, p.blocks)
    slacks = {"reward": (np.inf, 0.0), "cost": (0.0, 0.0), "balance": (np.inf, -np.inf)}[mode]
    hp = Hyperparams.create(
        cost_limit=40.0, slack_positive=slacks[0], slack_negative=slacks[1], warmup_iterations=0, target_kl=1e-6,
        cg_damping=0.01, reward_weight=weight,
    )  # fmt: skip
    hp = jax.tree.map(lambda x: x.astype(float), hp)
    episode = EpisodeEstimate(jnp.zeros(()), jnp.array([0.0 if mode == "reward" else 50.0]), jnp.array(1000.0))
    config = dataclasses.replace(UPDATE_CONFIG, conflict_metric=metric)
    state = SimpleNamespace(policy=p.params, iteration=jnp.int32(0))

    @jax.jit
    def run(batch):
        update = espo.update(core.pose(p.networks, config, state, batch, episode, None, hp))
        fight = conflict.in_conflict(update.gram, update.active)
        everything = jnp.ones(2, bool)
        return update, modes.mode_of(update.active, fight), conflict.conflict_angle(update.gram, everything)

    update, reached_mode, reached_angle = run(batch)

    gradients = np.asarray(
        surrogate.surrogate_gradients(
            p.networks.policy, p.params, p.observation, p.action, p.log_prob, advantage, p.mask, p.blocks
        )
    )
    fisher = np.asarray(dense_fisher(p, 24)) + 0.01 * np.eye(p.params.size)
    if metric == "natural":
        vectors = np.stack([references.trpo_step(g, fisher, 1e-6) for g in gradients])
        expected, fight = references.espo_direction(mode, *vectors, weight)
        angle = vectors
    elif metric == "euclidean":
        combined, fight = references.espo_direction(mode, *gradients, weight)
        expected = references.trpo_step(combined, fisher, 1e-6)
        angle = gradients
    else:  # in coordinates x -> L^T x with F = L L^T the Fisher product is the Euclidean one
        factor = np.linalg.cholesky(fisher)
        whitened = np.linalg.solve(factor, gradients.T).T
        combined, fight = references.espo_direction(mode, *whitened, weight)
        expected = references.trpo_step(factor @ combined, fisher, 1e-6)
        angle = whitened
    cosine = angle[0] @ angle[1] / np.linalg.norm(angle[0]) / np.linalg.norm(angle[1])
    assert float(update.step_fraction) == 1.0
    # conjugate gradients stop at a relative residual of 1e-5
    chex.assert_trees_all_close(update.step, expected, rtol=1e-4, atol=5e-7)
    assert float(reached_angle) == pytest.approx(np.arccos(cosine), rel=1e-4)
    assert fight == (opposed and mode == "balance")
    names = {"reward": "reward", "cost": "cost", "balance": "conflict" if fight else "aligned"}
    assert modes.MODE_NAMES[int(reached_mode)] == names[mode]
    assert mode == "balance" or 0.5e-6 < float(update.kl) < 1.01e-6  # the damping takes its share of the radius


def train_to_the_end(env, config, hp, iterations):
    algorithm = espo.make(env, config)
    state = algorithm.init(jax.random.key(1), hp)
    state, metrics = jax.jit(lambda s: jax.lax.scan(lambda s, _: algorithm.step(s, hp), s, length=iterations))(state)
    assert not metrics.nonfinite.any()
    return state, metrics


@pytest.mark.parametrize("metric", ["natural", "euclidean", "fisher"])
def test_finds_the_constrained_optimum(metric):
    env = TugOfWar()
    limit = 4.0  # of the 16 that standing on the goal costs
    config = Config(
        num_envs=16, base_sample_size=1024, block_size=256, max_zeta_positive=0.1, policy_hidden_sizes=(8,),
        critic_hidden_sizes=(8,), fisher_stride=1, normalize_observations=False, conflict_metric=metric,
        lbfgs_iterations=5,
    )  # fmt: skip
    hp = Hyperparams.create(
        cost_limit=limit, slack_positive=0.0, slack_negative=-0.08, warmup_iterations=5, target_kl=0.01, config=config
    )
    _, metrics = train_to_the_end(env, config, hp, 250)
    reward = metrics.episode_reward[-50:].mean()
    cost = metrics.episode_cost[-50:].mean()
    assert float(cost) <= 1.05 * limit
    assert float(reward) == pytest.approx(float(env.optimum(limit)), rel=0.05)
    assert set(np.unique(metrics.mode).tolist()) >= {modes.REWARD, modes.COST, modes.CONFLICT}


def test_two_constraints_are_both_met():
    env = TugOfWar(goal=(1.0, 1.0), home=((0.0, 0.0), (1.0, -1.0)))
    config = Config(
        num_envs=16, base_sample_size=512, block_size=128, policy_hidden_sizes=(8,), critic_hidden_sizes=(8,),
        fisher_stride=1, normalize_observations=False, lbfgs_iterations=5,
    )  # fmt: skip
    hp = Hyperparams.create(
        cost_limit=[6.0, 20.0],
        slack_positive=0.0,
        slack_negative=-0.1,
        warmup_iterations=0,
        target_kl=0.01,
        config=config,
    )
    _, metrics = train_to_the_end(env, config, hp, 200)
    chex.assert_shape(metrics.episode_cost, (200, 2))
    assert (metrics.episode_cost[-40:].mean(axis=0) <= 1.05 * jnp.array([6.0, 20.0])).all()
    first = metrics.episode_reward[:5].mean()
    assert float(metrics.episode_reward[-40:].mean()) > float(first)


def test_wrong_number_of_limits_is_refused(algorithm, key):
    with pytest.raises(ValueError, match="cost_limit has 2 values: the environment reports 1"):
        algorithm.init(key, HP(cost_limit=[1.0, 2.0]))


def test_nan_from_physics_is_reported_and_nothing_is_learned_from_it(key):
    algorithm = espo.make(TugOfWar(nan_above=0.0), TINY)
    hp = HP(cost_limit=8.0)
    state = algorithm.init(key, hp)
    after, metrics = jax.jit(algorithm.step)(state, hp)
    named = [name for i, name in enumerate(NONFINITE_QUANTITIES) if int(metrics.nonfinite) >> i & 1]
    assert "reward" in named
    assert "observation" not in named
    for name in ("policy", "critics", "normalizer", "episode", "life_table", "sample_size", "turn"):
        chex.assert_trees_all_equal(getattr(after, name), getattr(state, name))
    assert (int(after.iteration), int(after.env_steps)) == (1, 80)


def test_restarting_episodes_every_iteration(key):
    config = dataclasses.replace(TINY, reset_each_iteration=True, base_sample_size=48, max_zeta_positive=0.0)
    algorithm = espo.make(TugOfWar(), config)
    hp = Hyperparams.create(cost_limit=8.0, zeta_positive=0.0, zeta_negative=-0.25, config=config)
    state = algorithm.init(key, hp)
    step = jax.jit(algorithm.step)
    for finished in (4, 4, 4):  # 12 steps, then 9: one whole episode of 8 in each of the 4 environments
        state, metrics = step(state, hp)
        assert int(metrics.episodes_finished) == finished
    assert step._cache_size() == 1


def test_adam_critics_learn_in_the_same_program(key):
    config = dataclasses.replace(TINY, critic_optimizer="adam", critic_minibatch_size=16, critic_passes=20)
    algorithm = espo.make(TugOfWar(), config)
    hp = HP(cost_limit=8.0, critic_learning_rate=1e-2)
    state = algorithm.init(key, hp)
    step = jax.jit(algorithm.step)
    losses = []
    for _ in range(8):
        state, metrics = step(state, hp)
        losses.append(float(metrics.critic_loss.sum()))
    assert losses[-1] < 0.7 * losses[0]
    assert step._cache_size() == 1


def test_inference_function_acts_like_the_policy(algorithm, key):
    state = with_mean(algorithm, algorithm.init(key, HP(cost_limit=8.0)), (0.5, -0.25))
    policy = algorithm.make_inference_fn(algorithm.params(state), deterministic=True)
    chex.assert_trees_all_close(policy(jnp.ones((3, 1)), key)[0], jnp.tile(jnp.array([0.5, -0.25]), (3, 1)))
    noisy = algorithm.make_inference_fn(algorithm.params(state))
    assert not jnp.allclose(noisy(jnp.ones(1), key)[0], jnp.array([0.5, -0.25]))
    with pytest.raises(ValueError, match="key"):
        noisy(jnp.ones(1))
