"""A point on a line that is pushed towards a goal: small enough to compile in seconds."""

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State


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
