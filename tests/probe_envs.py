"""Tiny environments with known costs, lengths and optima."""

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


class CountingEnv(Env):
    """Counts its steps, terminates at `lifetime`, costs `cost` and rewards `gain` at each step.

    A reset draws `start`, kept in the observation (start, count) and, as `info["start"]`, where an environment
    would keep its own variables. With `lifetime=None` a reset draws one of 2 to 7 steps.
    """

    observation_size = 2
    action_size = 1
    backend = "none"

    def __init__(self, lifetime=1000, cost=2.0, episode_length=None):
        self.sys = {"gain": jnp.ones(())}
        self._lifetime = lifetime
        self._cost = jnp.asarray(cost)
        self.num_traces = 0
        if episode_length is not None:
            self.episode_length = episode_length

    def reset(self, key):
        start_key, lifetime_key = jax.random.split(key)
        start = jax.random.uniform(start_key)
        lifetime = jax.random.randint(lifetime_key, (), 2, 8) if self._lifetime is None else self._lifetime
        physics = {"count": 0, "start": start, "lifetime": lifetime}
        return State(
            pipeline_state=jax.tree.map(jnp.asarray, physics),  # weakly typed, as Brax's own resets
            obs=jnp.stack([start, jnp.zeros(())]),
            reward=jnp.asarray(0.0),
            done=jnp.asarray(0.0),
            info={"cost": jnp.zeros_like(self._cost), "start": start},
        )

    def step(self, state, action):
        self.num_traces += 1
        physics = {**state.pipeline_state, "count": state.pipeline_state["count"] + 1}
        return state.replace(
            pipeline_state=physics,
            obs=jnp.stack([physics["start"], physics["count"].astype(float)]),
            reward=self.sys["gain"],
            done=(physics["count"] >= physics["lifetime"]).astype(float),
            info={**state.info, "cost": self._cost},
        )


class PointEnv(Env):
    """Moves by its action; reward -|position - 1|, cost 0.1 + the squared action for each constraint.

    From step `nan_reward_after` of an episode on, its reward is nan. Without `reports_cost`, there is no cost.
    """

    observation_size = 1
    action_size = 1
    backend = "none"
    cost_limit = 4.0

    def __init__(self, *, episode_length=16, num_constraints=None, nan_reward_after=None, reports_cost=True):
        self.episode_length = episode_length
        self._shape = () if num_constraints is None else (num_constraints,)
        self._nan_reward_after = nan_reward_after
        self._reports_cost = reports_cost

    def reset(self, key):
        position = jax.random.uniform(key, minval=-0.1, maxval=0.1)
        return State(
            pipeline_state={"position": position, "age": jnp.int32(0)},
            obs=position[None],
            reward=jnp.float32(0.0),
            done=jnp.float32(0.0),
            info={"cost": jnp.zeros(self._shape)} if self._reports_cost else {},
        )

    def step(self, state, action):
        position = state.pipeline_state["position"] + 0.1 * action[0]
        age = state.pipeline_state["age"] + 1
        reward = -jnp.abs(position - 1.0)
        if self._nan_reward_after is not None:
            reward = jnp.where(age >= self._nan_reward_after, jnp.nan, reward)
        cost = jnp.broadcast_to(0.1 + jnp.square(action[0]), self._shape)
        return state.replace(
            pipeline_state={"position": position, "age": age},
            obs=position[None],
            reward=reward,
            info={**state.info, "cost": cost} if self._reports_cost else state.info,
        )


class Refund(PointEnv):
    """Reports its cost with a minus sign, as Safety-MuJoCo does."""

    def step(self, state, action):
        after = super().step(state, action)
        return after.replace(info={**after.info, "cost": -after.info["cost"]})


# Settings for which PointEnv trains in seconds.
TINY = {
    "num_envs": 4,
    "base_sample_size": 64,
    "block_size": 16,
    "policy_hidden_sizes": (8,),
    "critic_hidden_sizes": (8,),
    "cg_iterations": 3,
    "line_search_steps": 3,
    "lbfgs_iterations": 2,
    "fisher_stride": 1,
    "warmup_iterations": 1,
    "num_iterations": 4,
}
