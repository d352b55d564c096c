"""A task whose constrained optimum is known in closed form."""

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State


class TugOfWar(Env):
    """Reward -|a - goal|^2 and cost |a - home|^2 at every step, whatever the state.

    With a limit b on the cost of an episode of L steps, the best constant action lies on the line from home to
    goal, at distance min(sqrt(b / L), |goal - home|) from home. Several homes make several constraints.
    """

    observation_size = 1
    action_size = 2
    backend = "none"

    def __init__(
        self,
        goal=(1.0, 0.0),
        home=(0.0, -1.0),
        episode_length=8,
        cost_scale=1.0,
        reward_scale=1.0,
        nan_above=jnp.inf,
    ):
        self.goal, self.home = jnp.array(goal), jnp.array(home)
        self.episode_length = episode_length
        self._cost_scale, self._reward_scale = cost_scale, reward_scale
        self._nan_above = nan_above

    def optimum(self, limit):
        """Best reward of an episode within the limit, for one constraint."""
        distance = jnp.linalg.norm(self.goal - self.home)
        radius = jnp.minimum(jnp.sqrt(limit / self.episode_length), distance)
        return -self.episode_length * (distance - radius) ** 2

    def reset(self, key):
        cost = jnp.zeros(self.home.shape[:-1])
        return State(
            pipeline_state={"noise": jax.random.uniform(key)},
            obs=jnp.ones(1),
            reward=jnp.float32(0.0),
            done=jnp.float32(0.0),
            info={"cost": cost},
        )

    def step(self, state, action):
        away = jnp.linalg.norm(action)
        reward = -self._reward_scale * jnp.sum(jnp.square(action - self.goal))
        cost = self._cost_scale * jnp.sum(jnp.square(action - self.home), axis=-1)
        return state.replace(
            reward=jnp.where(away > self._nan_above, jnp.nan, reward), info={**state.info, "cost": cost}
        )
