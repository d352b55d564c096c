"""Tiny environments with known costs and lengths."""

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State


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
