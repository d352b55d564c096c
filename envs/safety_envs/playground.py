"""MuJoCo Playground's environments as Brax environments; Playground itself is not imported."""

from collections.abc import Mapping
from typing import Any

import jax
from brax.envs.base import Env, State

from safety_envs.playground_warp import WarpWorlds, is_on_warp

_NUM_TRACED = 7  # environments in the trace that checks shapes; no size of a physics is likely to be the same


def from_playground(env: Any, observation: str = "state", *, contacts_per_env: int | None = None) -> Env:
    """A MuJoCo Playground environment with Brax's reset and step; like any other, it gets its cost from SafetyWrapper.

        env = from_playground(registry.load("CartpoleBalance"))
        env = SafetyWrapper(env, cost_fn, cost_limit=100.0, episode_length=1000)

    Args:
      env: with `reset(key)` and `step(state, action)` on states of data, obs, reward, done, metrics and info.
      observation: which entry the agent sees where observations are named; a single one is named "state".
      contacts_per_env: for `impl="warp"`: number of contacts for which each environment has room, in one buffer of all
        environments and lanes; None: the environment's `naconmax` for each 2,048 environments. With more contacts,
        or with more constraints than its `njmax`, the state, observation and reward become nan, an error in training.
        0, which some of Playground's tasks have as `naconmax`, switches contacts off.

    Returns:
      The environment, not vectorised.

    Raises:
      ValueError: there is no such observation, it is not a vector, the physics' state cannot be vectorised, or
        `impl="warp"` does not run here.
    """
    return PlaygroundEnv(env, observation, contacts_per_env)


class PlaygroundEnv(Env):
    """What `from_playground` returns: `state.pipeline_state` is Playground's `state.data`, for MJX a `mjx.Data`,
    and for `impl="warp"` a `WarpData` with its public fields.

    `info` gains:
      other_observations: the named observations [...] that the agent does not see.

    Attributes:
      env: the Playground environment.
    """

    def __init__(self, env: Any, observation: str = "state", contacts_per_env: int | None = None):
        """See `from_playground`."""
        self._on_warp = is_on_warp(env)
        self._stepped = WarpWorlds(env, contacts_per_env) if self._on_warp else env
        keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), _NUM_TRACED))
        states = jax.eval_shape(jax.vmap(self._stepped.reset), keys)
        if not hasattr(states, "data"):
            name = type(env).__name__
            raise ValueError(f"{name} is not a MuJoCo Playground environment: its states have no field data")
        _check_vectorized(states.data)
        observations = _named(states.obs)
        if observation not in observations:
            raise ValueError(f"unknown observation {observation!r}; known observations: {', '.join(observations)}")
        _, *shape = observations[observation].shape
        if len(shape) != 1:
            raise ValueError(f"observation {observation!r} has shape {tuple(shape)}; it must be a vector")
        self.env = env
        self._observation = observation
        self._observation_size = shape[0]
        self._example = states  # of Playground's own class, to build others from

    @property
    def sys(self) -> Any:
        """What domain randomisation changes: the `mjx.Model`."""
        return self.env.unwrapped.mjx_model

    @sys.setter
    def sys(self, model: Any) -> None:
        self.env.unwrapped._mjx_model = model  # as Playground's own wrapper does; there is no public way

    @property
    def observation_size(self) -> int:
        """O."""
        return self._observation_size

    @property
    def action_size(self) -> int:
        """A."""
        return self.env.action_size

    @property
    def backend(self) -> str:
        """Name of the physics."""
        return "warp" if self._on_warp else "mjx"

    @property
    def dt(self) -> float:
        """Seconds per control step."""
        return self.env.dt

    def reset(self, key: jax.Array) -> State:
        """The environment's reset."""
        return self._to_brax(self._stepped.reset(key))

    def step(self, state: State, action: jax.Array) -> State:
        """The environment's step under `action` [A]."""
        # Playground's environments write into the dicts of the state they are given: let them have a copy.
        metrics, info = jax.tree.map(lambda x: x, (state.metrics, state.info))
        observations = {self._observation: state.obs, **info.pop("other_observations")}
        is_named = isinstance(self._example.obs, Mapping)
        playground_state = self._example.replace(
            data=state.pipeline_state,
            obs=observations if is_named else state.obs,
            reward=state.reward,
            done=state.done,
            metrics=metrics,
            info=info,
        )
        return self._to_brax(self._stepped.step(playground_state, action))

    def _to_brax(self, state: Any) -> State:
        observations = _named(state.obs)
        others = {name: x for name, x in observations.items() if name != self._observation}
        return State(
            pipeline_state=state.data,
            obs=observations[self._observation],
            reward=state.reward,
            done=state.done,
            metrics=dict(state.metrics),
            info={**state.info, "other_observations": others},
        )


def _named(observation: Any) -> Mapping[str, Any]:
    return observation if isinstance(observation, Mapping) else {"state": observation}


def _check_vectorized(data: Any) -> None:
    for path, x in jax.tree_util.tree_leaves_with_path(data):
        if x.shape[:1] != (_NUM_TRACED,):
            raise ValueError(
                f"data{jax.tree_util.keystr(path)} has shape {x.shape} for {_NUM_TRACED} environments, which share it: "
                'load the environment with config_overrides={"impl": "jax"}'
            )
