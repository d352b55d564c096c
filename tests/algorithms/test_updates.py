"""One full update of every algorithm on fixed data, against references written from the papers."""

import dataclasses
from types import SimpleNamespace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from espo_jax import algorithms, conflict, modes, sample_size, surrogate
from espo_jax.algorithms import core, crpo, cup, ppo_lagrangian, steps
from espo_jax.algorithms.types import Batch
from espo_jax.config import Config
from espo_jax.episode_estimate import EpisodeEstimate
from espo_jax.hyperparams import Hyperparams
from tests import references
from tests.core.problems import make_problem
from tests.core.test_natural_gradient import dense_fisher

RADIUS = 1e-6  # so small that every full step is accepted
CONFIG = Config(
    policy_hidden_sizes=(8,), critic_hidden_sizes=(8,), cg_iterations=200, fisher_stride=1, block_size=64,
    policy_passes=3, policy_minibatch_size=1000,
)  # fmt: skip

pytestmark = pytest.mark.usefixtures("x64", "quick_compile")


def pose(cost, *, limit=40.0, copies=None, num_constraints=1, used=24, config=CONFIG, **changes):
    """A problem on fixed samples with V_c = cost; with `copies` the one constraint that many times."""
    p = make_problem(used, num_constraints=num_constraints)
    advantage = p.advantage
    if copies:
        advantage = jnp.concatenate([advantage[..., :1], *[advantage[..., 1:]] * copies], axis=-1)
        num_constraints = copies
    distribution = p.networks.policy(p.params, p.observation)
    scale = jnp.ones(1 + num_constraints)
    batch = Batch(p.observation, p.action, p.log_prob, distribution, advantage, scale, p.mask, p.blocks)
    settings = {
        "slack_positive": np.inf, "slack_negative": -np.inf, "warmup_iterations": 0, "target_kl": RADIUS,
        "cg_damping": 0.01, **changes,
    }  # fmt: skip
    hp = Hyperparams.create(cost_limit=np.broadcast_to(limit, num_constraints), config=config, **settings)
    hp = jax.tree.map(lambda x: x.astype(float), hp)
    episode = EpisodeEstimate(jnp.zeros(()), jnp.broadcast_to(jnp.asarray(cost, float), num_constraints), jnp.ones(()))
    state = SimpleNamespace(policy=p.params, iteration=jnp.int32(0))
    networks = p.networks._replace(num_constraints=num_constraints)
    return core.pose(networks, config, state, batch, episode, jax.random.key(5), hp)


def update(name, problem):
    rule = algorithms.load(name).RULE
    state = rule.init(problem.networks, problem.params, problem.config, problem.hyperparams)

    @jax.jit
    def run(batch):
        posed = problem._replace(batch=batch)
        result = rule.update(posed, state)
        return result._replace(state=result.state)

    return run(problem.batch)


def dense(problem):
    """Gradients [M, P] and damped Fisher matrix of all samples."""
    b = problem.batch
    gradients = surrogate.surrogate_gradients(
        problem.networks.policy, problem.params, b.observation, b.action, b.log_prob, b.advantage, b.mask, b.blocks
    )
    fisher = dense_fisher(make_problem(24), 24) + 0.01 * jnp.eye(problem.params.size)
    return np.asarray(gradients), np.asarray(fisher)


def assert_close(actual, expected, rtol=1e-4):
    """Elements that are small beside the largest may differ by what that one may: the solves are iterative."""
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


@pytest.mark.parametrize("name", ["trpo", "crpo"])
@pytest.mark.parametrize("cost", [30.0, 40.0, 44.9, 45.1, 60.0])
def test_switch_follows_one_objective(name, cost):
    problem = pose(cost, cost_tolerance=5.0)
    followed = references.switch([cost], [40.0], 5.0) if name == "crpo" else 0
    gradients, fisher = dense(problem)
    result = update(name, problem)
    assert_close(result.step, references.trpo_step(gradients[followed], fisher, RADIUS))
    assert int(modes.mode_of(result.active, jnp.array(False))) == (modes.COST if followed else modes.REWARD)


def test_switch_takes_the_worst_of_several_constraints():
    limit = jnp.array([40.0, 10.0, 5.0])
    for cost in ([39.0, 9.0, 4.0], [50.0, 13.0, 5.0], [41.0, 10.0, 6.5], [45.0, 11.0, 6.0]):
        choice = crpo.switch(jnp.array(cost), limit, 1.0)
        expected = np.arange(4) == references.switch(cost, limit.tolist(), 1.0)
        chex.assert_trees_all_equal(choice.active, jnp.asarray(expected))
        chex.assert_trees_all_close(choice.weight, jnp.asarray(expected, float))


@pytest.mark.parametrize(("raises_cost", "violation"), [
    (False, -50.0), (False, 0.9), (False, 1.5), (False, 3.0), (True, -50.0), (True, -1.1), (True, -0.5), (True, 0.4),
])  # fmt: skip
def test_pcpo_step_is_the_papers(raises_cost, violation):
    """The violation in units of what the reward step changes of the cost, which it lowers on these samples."""

    def turned(cost):
        problem = pose(cost)
        sign = jnp.array([1.0, -1.0 if raises_cost else 1.0])
        return problem._replace(batch=problem.batch._replace(advantage=sign * problem.batch.advantage))

    gradients, fisher = dense(turned(40.0))
    c = violation * abs(float(gradients[1] @ references.trpo_step(gradients[0], fisher, RADIUS)))
    problem = turned(40.0 + c)
    expected = references.pcpo_step(gradients[0], -gradients[1], fisher, c, RADIUS)
    length = np.sqrt(expected @ fisher @ expected / (2 * RADIUS))
    result = update("pcpo", problem)
    projected = np.abs(expected - references.trpo_step(gradients[0], fisher, RADIUS)).max() > 1e-5
    assert projected == (violation > (-1 if raises_cost else 1))
    assert_close(result.step, expected / max(1.0, length), rtol=2e-4)
    assert float(result.kl) < 1.01 * RADIUS


def test_pcpo_keeps_to_the_trust_region_far_outside_of_the_limit():
    result = update("pcpo", pose(4000.0))
    assert 0.5 * RADIUS < float(result.kl) < 1.5 * RADIUS
    gradients, fisher = dense(pose(4000.0))
    expected = references.trpo_step(gradients[1], fisher, RADIUS)  # what is left is the cost's own step
    chex.assert_trees_all_close(result.step, expected, rtol=1e-2, atol=1e-6)


def test_pcpo_violation_is_in_the_unit_of_the_surrogate():
    problem = pose(50.0)
    problem = problem._replace(
        batch=problem.batch._replace(advantage_scale=jnp.array([7.0, 0.5])),
        episode=problem.episode._replace(length=jnp.array(1000.0)),
    )
    np.testing.assert_allclose(algorithms.load("pcpo").violation(problem), [10 / (1000 * 0.5)])


def forward(problem, flat):
    """The policy network in NumPy: mean and log_std of all samples."""
    params = jax.tree.map(np.asarray, problem.networks.unravel_policy(jnp.asarray(flat)))["params"]
    layers = params["MLP_0"]
    hidden = np.tanh(np.asarray(problem.batch.observation) @ layers["Dense_0"]["kernel"] + layers["Dense_0"]["bias"])
    mean = hidden @ layers["Dense_1"]["kernel"] + layers["Dense_1"]["bias"]
    return mean, np.broadcast_to(params["log_std"], mean.shape)


FIRST_ORDER = {
    "target_kl": 10.0, "policy_learning_rate": 0.05, "clip_ratio": 0.2, "multiplier_init": 0.3,
    "multiplier_learning_rate": 0.07, "cost_discount": 0.9, "cost_gae_lambda": 0.8,
}  # fmt: skip


@pytest.mark.parametrize("cost", [(50.0, 43.0), (20.0, 41.0)])
def test_ppo_lagrangian_update_is_the_papers(cost):
    problem = pose(cost, num_constraints=2, **FIRST_ORDER)
    batch = jax.tree.map(np.asarray, problem.batch)
    nu = [references.multiplier_ascent(0.3, [c - 40.0], 0.07) for c in cost]
    advantage = references.lagrangian_advantage(batch.advantage[..., 0], -batch.advantage[..., 1:], nu)

    def loss(flat):
        return references.ppo_loss(*forward(problem, flat), batch.action, batch.log_prob, advantage, 0.2)

    expected, _ = references.adam_descent(loss, np.asarray(problem.params), 3, 0.05, 40.0)
    result = update("ppo_lagrangian", problem)
    np.testing.assert_allclose(result.multiplier, nu, rtol=1e-6)
    np.testing.assert_allclose(problem.params + result.step, expected, rtol=1e-4, atol=1e-6)
    ratio = references.gaussian_ratio(batch.log_prob, *forward(problem, expected), batch.action)
    assert (np.abs(ratio - 1) > 0.2).any(), "some samples must be clipped"


@pytest.mark.parametrize("cost", [(50.0, 43.0), (20.0, 30.0)])
def test_cup_update_is_the_papers(cost):
    problem = pose(cost, num_constraints=2, **FIRST_ORDER)
    batch = jax.tree.map(np.asarray, problem.batch)
    nu = [references.multiplier_ascent(0.3, [c - 40.0], 0.07) for c in cost]

    def improvement(flat):
        args = (*forward(problem, flat), batch.action, batch.log_prob, batch.advantage[..., 0], 0.2)
        return references.ppo_loss(*args)

    half, adam_state = references.adam_descent(improvement, np.asarray(problem.params), 3, 0.05, 40.0)
    half_distribution = forward(problem, half)

    def projection(flat):
        return references.cup_projection_loss(
            *forward(problem, flat), *half_distribution, batch.action, batch.log_prob, -batch.advantage[..., 1:], nu,
            0.9, 0.8,
        )  # fmt: skip

    # With an episode of one step the horizon of the cost is that step's; the paper's is infinite.
    problem = problem._replace(episode=problem.episode._replace(length=jnp.array(1000.0)))
    expected = half
    if max(nu) > 0:
        expected, _ = references.adam_descent(projection, half, 3, 0.05, 40.0, adam_state)
    result = update("cup", problem)
    np.testing.assert_allclose(problem.params + result.step, expected, rtol=1e-4, atol=1e-6)


def gradient(loss, params):
    """By central differences."""
    shifts = 1e-6 * np.eye(params.size)
    return np.array([(loss(params + shift) - loss(params - shift)) / 2e-6 for shift in shifts])


@pytest.mark.parametrize("name", ["lagrangian", "improvement", "projection"])
def test_losses_and_gradients_are_the_papers(name):
    """Value and gradient themselves, which Adam's steps say little about; away from the old policy."""
    problem = pose((50.0, 43.0), num_constraints=2, **FIRST_ORDER)
    batch, nu = problem.batch, np.array([0.7, 0.2])
    old = jax.tree.map(np.asarray, batch)
    rng = np.random.default_rng(0)
    params, half_params = (np.asarray(problem.params) + 0.3 * rng.normal(size=problem.params.size) for _ in range(2))
    half = problem.networks.policy(jnp.asarray(half_params), batch.observation)

    def ours(flat):
        new = problem.networks.policy(flat, batch.observation)
        if name == "lagrangian":
            return ppo_lagrangian.lagrangian_loss(new, batch, ppo_lagrangian.mixture(jnp.asarray(nu)), 0.2) / 72
        if name == "improvement":
            return cup.improvement_loss(new, batch, 0.2) / 72
        scaled = jnp.asarray(nu) * cup.projection_coefficient(episode_of_1000)
        return cup.projection_loss(new, batch._replace(distribution=half), scaled) / 72

    def papers(flat):
        new = forward(problem, flat)
        if name == "projection":
            return references.cup_projection_loss(
                *new, *forward(problem, half_params), old.action, old.log_prob, -old.advantage[..., 1:], nu, 0.9, 0.8
            )
        reward, cost = old.advantage[..., 0], -old.advantage[..., 1:]
        advantage = references.lagrangian_advantage(reward, cost, nu) if name == "lagrangian" else reward
        return references.ppo_loss(*new, old.action, old.log_prob, advantage, 0.2)

    episode_of_1000 = problem._replace(episode=problem.episode._replace(length=jnp.array(1000.0)))
    assert old.mask.sum() == old.mask.size == 72
    value, slope = jax.value_and_grad(ours)(jnp.asarray(params))
    assert float(value) == pytest.approx(papers(params), rel=1e-6)
    assert_close(slope, gradient(papers, params))
    ratio = references.gaussian_ratio(old.log_prob, *forward(problem, params), old.action)
    assert (ratio > 1.2).any()
    assert (ratio < 0.8).any()


@pytest.mark.parametrize("metric", ["natural", "euclidean", "fisher"])
@pytest.mark.parametrize("resolution", ["projection", "min_norm", "cagrad"])
def test_weights_are_those_of_the_direction_followed(metric, resolution):
    """Under conflict: the step is along the natural gradient of the weighted sum, whatever the metric."""
    config = dataclasses.replace(CONFIG, conflict_metric=metric, conflict_resolution=resolution)
    problem = pose(40.0, config=config)
    # Costs that fall where the reward does, but for a little.
    reward = problem.batch.advantage[..., :1]
    opposed = jnp.concatenate([reward, 0.3 * problem.batch.advantage[..., 1:] - reward], axis=-1)
    problem = problem._replace(batch=problem.batch._replace(advantage=opposed))
    result = update("espo", problem)
    assert bool(conflict.in_conflict(result.gram, result.active))
    gradients, fisher = dense(problem)
    direction = np.linalg.solve(fisher, np.asarray(result.weight) @ gradients)
    cosine = direction @ result.step / np.linalg.norm(direction) / np.linalg.norm(result.step)
    assert cosine == pytest.approx(1.0, abs=1e-5)
    if metric == "natural" and resolution == "projection":
        own = [references.trpo_step(g, fisher, RADIUS) for g in gradients]
        assert_close(result.step, references.espo_direction("balance", *own, 0.5)[0], rtol=1e-3)


@pytest.mark.parametrize("name", ["ppo_lagrangian", "cup"])
def test_descent_stops_at_the_kl_radius(name):
    free = update(name, pose(30.0, **{**FIRST_ORDER, "multiplier_init": 0.0}))
    assert float(free.step_fraction) == 1.0
    stopped = update(name, pose(30.0, **{**FIRST_ORDER, "multiplier_init": 0.0, "target_kl": 1e-4}))
    assert float(stopped.step_fraction) == pytest.approx(1 / 3)
    assert float(stopped.kl) > 1e-4


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_multipliers_ascend_between_their_bounds(optimizer):
    config = dataclasses.replace(CONFIG, multiplier_optimizer=optimizer)
    rule = algorithms.load("ppo_lagrangian").RULE
    state = None
    values = []
    for cost in (50.0, 60.0, 45.0, 0.0, 0.0, 0.0, 0.0):
        problem = pose(cost, config=config, **{**FIRST_ORDER, "multiplier_max": 1.5})
        state = state or rule.init(problem.networks, problem.params, config, problem.hyperparams)
        result = rule.update(problem, state)
        state = result.state
        values.append(float(result.multiplier[0]))
    if optimizer == "sgd":
        np.testing.assert_allclose(values, [1.0, 1.5, 1.5, 0.0, 0.0, 0.0, 0.0], atol=1e-6)
    else:  # its first step has the length of the learning rate, whatever the violation
        assert values[0] == pytest.approx(0.37, abs=1e-6)
        assert values[0] < values[1] < values[2]


@pytest.mark.parametrize("name", ["ppo_lagrangian", "cup", "pcpo", "crpo", "espo"])
def test_no_constraint_counts_during_the_warm_up(name):
    warm = update(name, pose(500.0, slack_positive=0.0, **{**FIRST_ORDER, "warmup_iterations": 1}))
    blind = update(name, pose(0.0, slack_negative=0.0, **{**FIRST_ORDER, "multiplier_init": 0.0}))
    chex.assert_trees_all_close(warm.step, blind.step, atol=1e-12)
    if name in ("ppo_lagrangian", "cup"):
        assert float(warm.state.multiplier.value[0]) == pytest.approx(0.3)


# Identities.


@pytest.mark.parametrize("name", ["espo", "crpo", "pcpo", "cup", "ppo_lagrangian", "espo in mode cost"])
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


def test_pcpo_far_inside_of_the_limit_is_trpo():
    chex.assert_trees_all_close(update("pcpo", pose(-1e6)).step, update("trpo", pose(-1e6)).step, rtol=1e-12)


def test_ppo_lagrangian_without_multiplier_is_ppo():
    problem = pose(30.0, **{**FIRST_ORDER, "multiplier_init": 0.0})
    batch = jax.tree.map(np.asarray, problem.batch)

    def loss(flat):
        return references.ppo_loss(*forward(problem, flat), batch.action, batch.log_prob, batch.advantage[..., 0], 0.2)

    expected, _ = references.adam_descent(loss, np.asarray(problem.params), 3, 0.05, 40.0)
    np.testing.assert_allclose(problem.params + update("ppo_lagrangian", problem).step, expected, rtol=1e-4, atol=1e-6)


# Sample sizes.


@pytest.mark.parametrize("rule", ["norm_test", "inner_product_test"])
@pytest.mark.parametrize("seed", range(3))
def test_variance_tests_weigh_blocks_by_their_samples(rule, seed):
    """Blocks of unequal numbers of samples, some unused, against a loop in NumPy."""
    rng = np.random.default_rng(seed)
    count = np.array([7, 1, 0, 12, 30, 5, 0])
    blocks = rng.normal(size=(7, 4)) / np.sqrt(np.maximum(count, 1))[:, None] + 0.3
    expected = getattr(references, f"{rule}_size_from_blocks")(blocks[count > 0], count[count > 0], 0.7)
    blocks[count == 0] = np.nan
    found = getattr(sample_size, rule)(1.0, jnp.asarray(blocks), jnp.asarray(count), 0.7, 1e9, -1.0)
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_variance_from_blocks_is_that_of_samples():
    """On average over draws, whatever the blocks."""
    rng = np.random.default_rng(0)
    count, std, mean = np.array([3, 10, 40, 7]), np.array([0.5, 2.0]), np.array([1.0, -2.0])
    squares = []
    for _ in range(4000):
        blocks = mean + std * rng.normal(size=(4, 2)) / np.sqrt(count)[:, None]
        centre = count @ blocks / count.sum()
        # With theta = 1 / |g| the size is the variance itself.
        size = references.norm_test_size_from_blocks(blocks, count, 1 / np.linalg.norm(centre))
        squares.append(size)
    assert np.mean(squares) == pytest.approx(np.sum(std**2), rel=0.03)
    found = sample_size.norm_test(1.0, jnp.asarray(blocks), jnp.asarray(count), 1 / np.linalg.norm(centre), 1e9, -1.0)
    assert float(found) == pytest.approx(squares[-1], rel=1e-6)


@pytest.mark.parametrize("rule", ["norm_test", "inner_product_test"])
def test_too_few_blocks_are_refused(rule):
    config = dataclasses.replace(CONFIG, sample_size_rule=rule, num_envs=4, base_sample_size=80, block_size=40)
    with pytest.raises(ValueError, match=f"sample_size_rule is '{rule}': it needs 4 blocks .* block_size 40 makes 2"):
        core.settle(config, crpo.RULE)
    core.settle(dataclasses.replace(config, block_size=20), crpo.RULE)


@pytest.mark.parametrize("in_band", [True, False])
@pytest.mark.parametrize("angle", [0.0, 0.3, 1.6, np.pi])
def test_sizes_by_angle_are_between_the_bounds(in_band, angle):
    expected = references.conflict_angle_size(16_000, angle, in_band, 0.1, -0.3)
    found = sample_size.conflict_angle(16_000, jnp.array(in_band), jnp.array(angle), 0.1, -0.3)
    assert float(found) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("rule", ["norm_test", "inner_product_test"])
def test_variance_tests_are_the_papers_on_single_samples(rule):
    """In blocks of one sample each the estimate from blocks is the papers' from samples."""
    room = dataclasses.replace(CONFIG, max_zeta_positive=1e5)
    problem = pose(30.0, config=room, variance_tolerance=0.7, zeta_positive=1e5, zeta_negative=-0.999999)
    config = dataclasses.replace(CONFIG, sample_size_rule=rule, max_zeta_positive=1e5, num_envs=3, base_sample_size=3)
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
    size = core.next_sample_size(sample_size.RULES[rule], problem, update, jnp.int32(0))
    assert int(size) == pytest.approx(expected, abs=0.5001)


def with_a_failed_line_search(metric="natural", **changes):
    """A balance in which only the reward's own step is refused, while the natural directions conflict."""
    config = dataclasses.replace(CONFIG, line_search_steps=1, conflict_metric=metric)
    problem = pose(40.0, config=config, target_kl=0.1, **changes)
    reward, cost = problem.batch.advantage[..., 0], problem.batch.advantage[..., 1]
    opposed = jnp.stack([reward, cost - 0.5 * reward], axis=-1)
    return problem._replace(batch=problem.batch._replace(advantage=opposed))


def test_a_failed_line_search_in_the_balance_does_not_hide_the_conflict():
    """The step of zero has an inner product of zero with every other: g_r^T F^-1 g_c says whether they conflict."""
    problem = with_a_failed_line_search()
    result = update("espo", problem)
    assert int(result.failed_line_searches) == 1
    assert bool(conflict.in_conflict(result.gram, result.active))
    natural = steps.natural_directions(problem)
    expected = conflict.gram(natural.gradient, natural.direction)
    chex.assert_trees_all_close(result.gram, expected, rtol=1e-4)
    # The step is that of the metric "fisher": projected, and line-searched as a whole.
    other = update("espo", with_a_failed_line_search("fisher"))
    chex.assert_trees_all_close(result.step, other.step, rtol=1e-6)
    chex.assert_trees_all_close(result.weight, other.weight, rtol=1e-6)
    assert int(other.failed_line_searches) == 1


@pytest.mark.parametrize("name", ["crpo", "trpo", "pcpo"])
def test_a_failed_line_search_hides_no_conflict_from_a_sample_size_rule(name):
    """Also where the algorithm follows one objective: the rule looks at all that are in the band."""
    problem = with_a_failed_line_search()
    result = update(name, problem)
    assert int(result.failed_line_searches) == 1
    assert bool(conflict.in_conflict(result.gram, problem.choice.active))


def test_a_failed_line_search_outside_of_the_balance_leaves_the_parameters():
    result = update("espo", with_a_failed_line_search()._replace(choice=modes.only(0, 1)))
    assert float(result.step_fraction) == 0
    assert not result.step.any()
