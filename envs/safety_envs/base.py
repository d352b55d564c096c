"""What every task shares: a Brax pipeline environment whose steps report a cost."""

import abc
import functools
import importlib.resources
import warnings

import jax
import jax.numpy as jnp
from brax import base
from brax.envs.base import PipelineEnv, State
from brax.io import mjcf

BACKENDS = ("generalized", "spring", "positional", "mjx")
REWARDS = ("task", "step")


class SafetyEnv(PipelineEnv):
    """Base of the tasks: a subclass says which model, observation, reward, cost and reset.

    The action reaches `reward` and `cost` raw; only the physics clamps it to the control range. With a
    clamped action the cost would saturate, and constraints on effort could not be learnt.

    Attributes:
      cost_limit: published limit b on an episode's summed cost.
      episode_length: published episode length in control steps.
    """

    cost_limit: float
    episode_length: int

    def __init__(self, backend: str = "generalized", reward: str = "task"):
        """Loads the model for one physics.

        Args:
          backend: one of `BACKENDS`.
          reward: "task", what the published agents train on, or "step", the reward Gymnasium's step returns.

        Raises:
          ValueError: an unknown backend or reward.
        """
        if backend not in BACKENDS:
            raise ValueError(f"unknown backend {backend!r}; known backends: {', '.join(BACKENDS)}")
        if reward not in REWARDS:
            raise ValueError(f"unknown reward {reward!r}; known rewards: {', '.join(REWARDS)}")
        system, frame_skip = self.load(backend)
        super().__init__(sys=system, backend=backend, n_frames=frame_skip)
        self._reward_fn = self.task_reward if reward == "task" else self.step_reward

    @abc.abstractmethod
    def load(self, backend: str) -> tuple[base.System, int]:
        """The model adjusted to a backend, and its physics steps per control step."""

    @abc.abstractmethod
    def initial(self, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """A random initial position and velocity (q, qd)."""

    @abc.abstractmethod
    def observe(self, pipeline_state: base.State) -> jax.Array:
        """The observation [O] of a physics state."""

    @abc.abstractmethod
    def task_reward(self, before: base.State, action: jax.Array, after: base.State) -> jax.Array:
        """The reward that the published agents train on."""

    @abc.abstractmethod
    def step_reward(self, before: base.State, action: jax.Array, after: base.State) -> jax.Array:
        """The reward that Gymnasium's step returns."""

    @abc.abstractmethod
    def cost(self, before: base.State, action: jax.Array, after: base.State) -> jax.Array:
        """The step's cost, >= 0."""

    @functools.cached_property
    def observation_size(self) -> int:
        """O, found once by tracing a reset, not by running it."""
        return jax.eval_shape(self.reset, jax.random.key(0)).obs.shape[-1]

    def reset(self, key: jax.Array) -> State:
        """A random initial state, with no cost yet."""
        q, qd = self.initial(key)
        pipeline_state = self.pipeline_init(q, qd)
        reward, done, cost, cost_metric = jnp.zeros(4)
        state = State(
            pipeline_state=pipeline_state,
            obs=self.observe(pipeline_state),
            reward=reward,
            done=done,
            metrics={"cost": cost_metric},
            info={"cost": cost},
        )
        return strongly_typed(state)

    def step(self, state: State, action: jax.Array) -> State:
        """One control step under `action` [A]; `info["cost"]` is its cost."""
        before = state.pipeline_state
        after = self.pipeline_step(before, action)
        cost = self.cost(before, action, after)
        next_state = state.replace(
            pipeline_state=after,
            obs=self.observe(after),
            reward=self._reward_fn(before, action, after),
            metrics={**state.metrics, "cost": cost},
            info={**state.info, "cost": cost},
        )
        return strongly_typed(next_state)


def brax_model(filename: str) -> base.System:
    """A model from the assets of the installed Brax."""
    asset = importlib.resources.files("brax") / "envs" / "assets" / filename
    with importlib.resources.as_file(asset) as path, warnings.catch_warnings():
        # The tasks use Brax for its State/Env types and its physics only, knowing this.
        warnings.filterwarnings("ignore", message="Brax System, piplines and environments are not actively")
        return mjcf.load(path)


def strongly_typed(tree):
    """The same pytree with every array's weak type removed.

    Resets tend to be weakly typed (Python scalars) where steps are not; jit would compile once for each.
    """

    def strong(x):
        is_key = jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
        return x if is_key else jnp.asarray(x, dtype=x.dtype)

    return jax.tree.map(strong, tree)


def where_env(mask: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """Selects whole environments: mask [N], x and y [N, ...]."""
    return jnp.where(mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim)), x, y)
