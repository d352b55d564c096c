"""V_r, V_c and the length of an episode at every width, against episodes whose values are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safety_envs
from brax.envs.base import Env, State

from espo_jax.episode_estimate import estimate_episodes, no_episodes
from espo_jax.rollout import Rollout, collect
from tests.slow_cases import slow_but

EPISODE_LENGTH = 200


class MortalEnv(Env):
    """Costs its action before an age, and half of it after; dies at an age drawn at its reset, if it dies."""

    observation_size = 1
    action_size = 1
    backend = "none"
    episode_length = EPISODE_LENGTH

    def __init__(self, lifetimes=(10**6,), costs=(1.0, 0.5), age=30):
        self.lifetimes, self.costs, self.age = np.asarray(lifetimes), costs, age

    def reset(self, key):
        lifetime = jax.random.choice(key, jnp.asarray(self.lifetimes))
        return State(
            pipeline_state={"lifetime": lifetime, "age": jnp.int32(0)},
            obs=jnp.zeros(1),
            reward=jnp.float32(0.0),
            done=jnp.float32(0.0),
            info={"cost": jnp.float32(0.0)},
        )

    def step(self, state, action):
        age = state.pipeline_state["age"]
        cost = action[0] * jnp.where(age < self.age, *self.costs)
        done = (age + 1 >= state.pipeline_state["lifetime"]).astype(jnp.float32)
        info = {**state.info, "cost": cost}
        pipeline_state = {**state.pipeline_state, "age": age + 1}
        return state.replace(pipeline_state=pipeline_state, reward=-cost, done=done, info=info)

    def truth(self):
        """Cost of an episode under an action of 1, and its length: means over all lifetimes."""
        length = np.minimum(self.lifetimes, EPISODE_LENGTH)
        early, late = np.minimum(length, self.age), np.maximum(length - self.age, 0)
        return np.mean(self.costs[0] * early + self.costs[1] * late), np.mean(length)


def errors(env, num_envs, sample_size, num_iterations, burn_in, decay=0.95):
    """Relative errors of V_c, V_r and the length, [iterations, 3], and episodes that ended in each iteration.

    The policy is the same during the burn-in, then its cost falls by 5 % an iteration.
    """
    wrapped = safety_envs.wrap(env)
    true_cost, true_length = env.truth()

    def iteration(carry, index):
        env_state, table, length, turn = carry
        level = decay ** jnp.maximum(index - burn_in, 0).astype(jnp.float32)

        def policy(observation, key):
            noise = 1 + 0.5 * jax.random.uniform(key, observation.shape, minval=-1)
            return level * noise, jnp.zeros(num_envs)

        key = jax.random.fold_in(jax.random.key(1), index)
        capacity = -(-sample_size // num_envs)
        env_state, rollout = collect(wrapped, policy, env_state, key, jnp.int32(sample_size), capacity, turn)
        estimate, table = estimate_episodes(rollout, table, length)
        relative = jnp.stack([estimate.cost[0], -estimate.reward, estimate.length]) / jnp.array(
            [level * true_cost, level * true_cost, true_length], jnp.float32
        )
        carry = (env_state, table, estimate.length, (turn + sample_size) % num_envs)
        return carry, (relative - 1, rollout.episodes_finished)

    @jax.jit
    def run(key):
        env_state = wrapped.stagger(wrapped.reset(jax.random.split(key, num_envs)))
        estimate, table = no_episodes(EPISODE_LENGTH, 1)
        start = (env_state, table, estimate.length, jnp.int32(0))
        return jax.lax.scan(iteration, start, jnp.arange(burn_in + num_iterations))[1]

    relative, finished = run(jax.random.key(0))
    return np.asarray(relative[burn_in:]), np.asarray(finished[burn_in:])


LIFETIMES = {
    "immortal": [10**6],
    "mortal": np.arange(20, 61),
    "some reach the limit": np.arange(50, 301),
    # As many at each quantile of a geometric distribution: every step has the same chance of 1 in 40.
    "memoryless": np.ceil(np.log1p(-(np.arange(9999) + 0.5) / 9999) / np.log1p(-1 / 40)).astype(int),
}


WIDTHS = [(16, 3_200), (64, 3_200), (1_024, 3_300), (16_384, 16_384), (16_384, 11_469)]


@pytest.mark.parametrize(
    ("lifetimes", "num_envs", "sample_size"),
    slow_but(
        [("immortal", *width) for width in WIDTHS[::2]]
        + [("memoryless", *width) for width in WIDTHS[::2]]
        + [("some reach the limit", *WIDTHS[2])],
        [(lifetimes, *width) for lifetimes in LIFETIMES for width in WIDTHS],
    ),
)
def test_is_within_5_percent_at_every_width_while_the_cost_falls(lifetimes, num_envs, sample_size):
    """From a hundredth of an episode in each iteration (16,384 environments) to many whole ones."""
    env = MortalEnv(LIFETIMES[lifetimes])
    # Until the ages are those of the policy, and 20 iterations for the chance of termination.
    burn_in = max(20, -(-4 * EPISODE_LENGTH * num_envs // sample_size))
    relative, finished = errors(env, num_envs, sample_size, num_iterations=60, burn_in=burn_in)
    assert np.abs(relative[:, :2]).max() < (0.05 if finished.min() >= 30 or lifetimes == "immortal" else 0.1)
    assert np.abs(np.diff(relative[:, 0])).max() < 0.05, "no jump"
    assert np.abs(relative[:, :2].mean(axis=0)).max() < 0.02, "no lag behind a cost that falls"
    if lifetimes == "immortal":
        np.testing.assert_allclose(relative[:, 2], 0, atol=1e-5, err_msg="the length is exactly the limit")


def test_the_first_whole_episodes_of_old_policies_make_no_jump():
    """1,024 environments without a burn-in: whole episodes first end after 62 iterations, at a cost 20 times lower."""
    env = MortalEnv()
    relative, finished = errors(env, 1_024, 3_300, num_iterations=130, burn_in=0)
    late = relative[np.cumsum(finished) > 0][12:]  # the costs of early ages were all that could be seen before
    assert np.abs(late[:, 0]).max() < 0.05


@pytest.mark.parametrize("sample_size", [1_024, 4_096])
def test_late_costs_count_where_few_samples_fall_on_each_age(sample_size):
    """Only the few that live beyond age 100 cost anything; most iterations miss many of the late ages."""
    env = MortalEnv(LIFETIMES["some reach the limit"], costs=(0.0, 1.0), age=100)
    relative, _ = errors(env, 1_024, sample_size, num_iterations=100, burn_in=4 * EPISODE_LENGTH, decay=1.0)
    assert np.abs(relative[:, 0].mean()) < 0.05


def test_a_policy_that_collapses_is_seen_at_once():
    """After episodes of about 400 steps, 500 that end after 40 are more than the memory holds."""
    ages = np.tile(np.arange(40)[:, None], (1, 500))
    rollout = rollout_of(ages, np.ones(ages.shape), ages == 39)
    before = no_episodes(1000, 1)[1]._replace(
        visits=jnp.full(1000, 600.0), terminations=jnp.full(1000, 1.5), recent=jnp.array([120_000.0, 300.0, 300.0])
    )
    estimate, _ = estimate_episodes(rollout, before, 400.0)
    assert float(estimate.cost[0]) == pytest.approx(40, rel=0.05)


def rollout_of(ages, costs, terminated):
    """A rollout [T, N] of these ages, costs (K = 1) and terminations."""
    ages, costs, terminated = (jnp.asarray(x) for x in (ages, costs, terminated))
    zeros = jnp.zeros((*ages.shape, 1))
    return Rollout(
        observation=zeros, action=zeros, log_prob=zeros[..., 0], reward=2 * costs, cost=costs[..., None],
        final_observation=zeros, finite=jnp.ones_like(terminated),
        terminated=terminated, truncated=jnp.zeros_like(terminated), finished=terminated,
        age=ages,
        mask=jnp.ones_like(terminated),
    )  # fmt: skip


def test_whole_episodes_give_their_mean():
    """Two episodes from a reset, of 2 and 4 steps, the second one cut by the limit: V is the mean of their sums."""
    ages = np.array([[0, 0], [1, 1], [0, 2], [1, 3]])
    costs = np.array([[1.0, 3.0], [2.0, 1.0], [5.0, 7.0], [0.5, 2.0]])
    terminated = np.array([[False, False], [True, False], [False, False], [True, False]])
    estimate, table = estimate_episodes(rollout_of(ages, costs, terminated), no_episodes(4, 1)[1], 4.0)
    # Three episodes begin; two of the three that reach age 1 end there: S = 1, 1, 1/3, 1/3.
    expected = np.mean([1, 3, 5]) + np.mean([2, 1, 0.5]) + (7 + 2) / 3
    np.testing.assert_allclose(estimate.cost[0], expected, rtol=0.03)  # the hazard has a prior of a tenth of a visit
    np.testing.assert_allclose(estimate.reward, 2 * estimate.cost[0], rtol=1e-6)
    np.testing.assert_allclose(estimate.length, 2 + 2 / 3, rtol=0.03)
    np.testing.assert_array_equal(table.visits, [3, 3, 1, 1])
    np.testing.assert_array_equal(table.terminations, [0, 2, 0, 0])


def test_ages_that_nobody_reached_get_the_mean():
    ages, costs = np.array([[0, 4]]), np.array([[1.0, 2.0]])
    estimate, _ = estimate_episodes(rollout_of(ages, costs, np.zeros((1, 2), bool)), no_episodes(10, 1)[1], 10.0)
    np.testing.assert_allclose(estimate.cost[0], 1 + 2 + 8 * 1.5, rtol=1e-6)


def test_unused_samples_do_not_count():
    ages, costs = np.array([[0, 4], [1, 0]]), np.array([[1.0, 2.0], [3.0, 0.0]])
    rollout = rollout_of(ages, costs, np.zeros((2, 2), bool))
    cut = rollout._replace(mask=jnp.array([[True, True], [True, False]]))
    table = no_episodes(10, 1)[1]
    first, _ = estimate_episodes(cut, table, 10.0)
    # An unused sample has age 0 and cost 0, as all its fields.
    np.testing.assert_allclose(first.cost[0], 1 + 2 + 3 + 7 * 2.0, rtol=1e-6)


def test_a_lane_of_a_vmap_equals_its_own_run():
    ages, costs = np.array([[0, 1], [1, 2]]), np.array([[1.0, 2.0], [3.0, 4.0]])
    rollouts = [
        rollout_of(ages, scale * costs, np.array([[False, False], [ends, False]]))
        for scale, ends in ((1, True), (2, False))
    ]
    table = no_episodes(5, 1)[1]
    together, _ = jax.vmap(lambda r: estimate_episodes(r, table, 5.0))(jax.tree.map(lambda *x: jnp.stack(x), *rollouts))
    for lane, rollout in enumerate(rollouts):
        alone, _ = estimate_episodes(rollout, table, 5.0)
        np.testing.assert_allclose(together.cost[lane], alone.cost, rtol=1e-6)
