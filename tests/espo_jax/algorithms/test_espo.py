"""ESPO's update on fixed samples against dense linear algebra, and what it learns."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from espo_jax import conflict, linalg, modes, natural_gradient, surrogate
from espo_jax.algorithms import iteration
from espo_jax.algorithms.natural_steps import every_nth_step, improvement_and_kl
from espo_jax.algorithms.types import Update, UpdateRule
from espo_jax.config import Config
from espo_jax.hyperparams import Hyperparams
from tests import references
from tests.probe_envs import TugOfWar
from tests.problems import (
    RADIUS,
    TINY_CONFIG,
    UPDATE_CONFIG,
    compiled,
    dense,
    hyperparams,
    pose,
    update,
    with_mean,
)
from tests.slow_cases import slow_but


def opposed(advantage):
    return jnp.stack([advantage[..., 0], -advantage[..., 0] + 0.5 * advantage[..., 1]], axis=-1)


def aligned(advantage):
    return jnp.stack([advantage[..., 0], advantage[..., 0] + 0.5 * advantage[..., 1]], axis=-1)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("metric", ["natural", "euclidean", "fisher"])
@pytest.mark.parametrize("mode", ["reward", "cost", "balance"])
@pytest.mark.parametrize("advantage", [aligned, opposed])
@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_update_equals_the_dense_reference(metric, mode, advantage, weight):
    """One whole update against dense linear algebra, with a radius so small that every full step is accepted."""
    slacks = {"reward": (np.inf, 0.0), "cost": (0.0, 0.0), "balance": (np.inf, -np.inf)}[mode]
    problem = pose(
        0.0 if mode == "reward" else 50.0, config=dataclasses.replace(UPDATE_CONFIG, conflict_metric=metric),
        advantage=advantage, slack_positive=slacks[0], slack_negative=slacks[1], reward_weight=weight,
    )  # fmt: skip
    result = update("espo", problem)
    reached_mode = modes.mode_of(result.active, conflict.in_conflict(result.gram, result.active))
    reached_angle = conflict.conflict_angle(result.gram, jnp.ones(2, bool))

    gradients, fisher = dense(problem)
    if metric == "natural":
        vectors = np.stack([references.trpo_step(g, fisher, RADIUS) for g in gradients])
        expected, conflicting = references.espo_direction(mode, *vectors, weight)
        angle = vectors
    elif metric == "euclidean":
        combined, conflicting = references.espo_direction(mode, *gradients, weight)
        expected = references.trpo_step(combined, fisher, RADIUS)
        angle = gradients
    else:  # in coordinates x -> L^T x with F = L L^T the Fisher product is the Euclidean one
        factor = np.linalg.cholesky(fisher)
        whitened = np.linalg.solve(factor, gradients.T).T
        combined, conflicting = references.espo_direction(mode, *whitened, weight)
        expected = references.trpo_step(factor @ combined, fisher, RADIUS)
        angle = whitened
    cosine = angle[0] @ angle[1] / np.linalg.norm(angle[0]) / np.linalg.norm(angle[1])
    assert float(result.step_fraction) == 1.0
    # conjugate gradients stop at a relative residual of 1e-5
    chex.assert_trees_all_close(result.step, expected, rtol=1e-4, atol=5e-7)
    assert float(reached_angle) == pytest.approx(np.arccos(cosine), rel=1e-4)
    assert conflicting == (advantage is opposed and mode == "balance")
    names = {"reward": "reward", "cost": "cost", "balance": "conflict" if conflicting else "aligned"}
    assert modes.MODE_NAMES[int(reached_mode)] == names[mode]
    assert mode == "balance" or 0.5e-6 < float(result.kl) < 1.01e-6  # the damping takes its share of the radius


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
    hp = hyperparams(cost_limit=25.0, slack_negative=0.0, zeta_positive=0.0, zeta_negative=0.0)
    ours = compiled("espo", cost_scale=0.0)
    theirs = iteration.make(TugOfWar(cost_scale=0.0), TINY_CONFIG, UpdateRule("trpo", trpo_update))
    a, b = ours.init(key, hp), theirs.init(key, hp)
    their_step = jax.jit(theirs.step)
    for _ in range(6):
        a, our_metrics = ours.step(a, hp)
        b, their_metrics = their_step(b, hp)
        chex.assert_trees_all_close(a.policy, b.policy, rtol=1e-4, atol=1e-5)
        assert int(our_metrics.sample_size) == int(their_metrics.sample_size) == 80
        assert int(our_metrics.mode) == modes.REWARD
    assert float(our_metrics.kl) > 0


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("resolution", ["weighted", "min_norm", "cagrad"])
@pytest.mark.parametrize("metric", ["natural", "euclidean", "fisher"])
def test_resolutions_in_every_metric(resolution, metric):
    """Under conflict each takes another step than the projection; without a band none of them matters."""

    def steps(resolution):
        config = dataclasses.replace(UPDATE_CONFIG, conflict_resolution=resolution, conflict_metric=metric)
        inside = update("espo", pose(40.0, config=config, advantage=opposed))
        assert bool(conflict.in_conflict(inside.gram, inside.active))
        assert inside.active.all()
        outside = update("espo", pose(40.0, limit=1e6, slack_negative=0.0, config=config, advantage=opposed))
        return inside.step, outside.step

    (projected, plain), (resolved, without_band) = steps("projection"), steps(resolution)
    assert jnp.isfinite(resolved).all()
    chex.assert_trees_all_close(plain, without_band, rtol=1e-12)
    assert np.abs(projected - resolved).max() > 0.01 * np.abs(projected).max()


def test_the_config_names_the_resolution_of_a_whole_iteration(key):
    """Which the metrics do not show: the policy after an iteration in conflict is another one."""
    policies = []
    for resolution in ("projection", "weighted"):
        config = dataclasses.replace(TINY_CONFIG, conflict_resolution=resolution)
        # So far apart that the noise, of which less serves both, matters little.
        algorithm, init, step = compiled("espo", config, goal=(3.0, 0.0), home=(0.0, -3.0))
        hp = hyperparams(config)
        state = with_mean(algorithm, init(key, hp), (1.5, -1.5))  # half way between the two
        after, metrics = step(state, hp)
        assert int(metrics.mode) == modes.CONFLICT
        policies.append(after.policy)
    assert not jnp.allclose(*policies)


def train_to_the_end(config, hp, iterations, **env):
    algorithm, init, _ = compiled("espo", config, **env)
    state = init(jax.random.key(1), hp)
    state, metrics = jax.jit(lambda s: jax.lax.scan(lambda s, _: algorithm.step(s, hp), s, length=iterations))(state)
    assert not metrics.nonfinite.any()
    return metrics


@pytest.mark.parametrize("metric", slow_but(["natural"], ["natural", "euclidean", "fisher"]))
def test_finds_the_constrained_optimum(metric):
    limit = 4.0  # of the 16 that standing on the goal costs
    config = Config(
        num_envs=16, base_sample_size=1024, block_size=256, max_zeta_positive=0.1, policy_hidden_sizes=(8,),
        critic_hidden_sizes=(8,), fisher_stride=1, normalize_observations=False, conflict_metric=metric,
        lbfgs_iterations=5,
    )  # fmt: skip
    hp = Hyperparams.create(
        cost_limit=limit, slack_positive=0.0, slack_negative=-0.08, warmup_iterations=5, target_kl=0.01, config=config
    )
    metrics = train_to_the_end(config, hp, 250)
    reward = metrics.episode_reward[-50:].mean()
    cost = metrics.episode_cost[-50:].mean()
    assert float(cost) <= 1.05 * limit
    assert float(reward) == pytest.approx(float(TugOfWar().optimum(limit)), rel=0.05)
    assert set(np.unique(metrics.mode).tolist()) >= {modes.REWARD, modes.COST, modes.CONFLICT}


def test_two_constraints_are_both_met():
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
    metrics = train_to_the_end(config, hp, 200, goal=(1.0, 1.0), home=((0.0, 0.0), (1.0, -1.0)))
    chex.assert_shape(metrics.episode_cost, (200, 2))
    assert (metrics.episode_cost[-40:].mean(axis=0) <= 1.05 * jnp.array([6.0, 20.0])).all()
    first = metrics.episode_reward[:5].mean()
    assert float(metrics.episode_reward[-40:].mean()) > float(first)
