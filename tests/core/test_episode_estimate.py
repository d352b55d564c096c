"""V_r, V_c and the length of an episode at every width, against episodes whose values are known."""

import jax
import jax.numpy as jnp
import numpy as np
import safety_envs
from brax.envs.base import Env, State

from espo_jax.episode_estimate import estimate_episodes, no_episodes
from espo_jax.rollout import collect

EPISODE_LENGTH = 200


class MortalEnv(Env):
    """Costs its action at each step, and half of it after age 30; dies at an age drawn at its reset, if it dies."""

    observation_size = 1
    action_size = 1
    backend = "none"
    episode_length = EPISODE_LENGTH

    def __init__(self, shortest=None, longest=None):
        self.lifetimes = np.array([10**6]) if shortest is None else np.arange(shortest, longest + 1)

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
        cost = action[0] * jnp.where(age < 30, 1.0, 0.5)
        done = (age + 1 >= state.pipeline_state["lifetime"]).astype(jnp.float32)
        info = {**state.info, "cost": cost}
        pipeline_state = {**state.pipeline_state, "age": age + 1}
        return state.replace(pipeline_state=pipeline_state, reward=-cost, done=done, info=info)

    def truth(self):
        """Cost of an episode under an action of 1, and its length: means over all lifetimes."""
        length = np.minimum(self.lifetimes, EPISODE_LENGTH)
        return np.mean(np.minimum(length, 30) + 0.5 * np.maximum(length - 30, 0)), np.mean(length)


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
