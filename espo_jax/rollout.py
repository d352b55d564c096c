"""The masked fixed-capacity rollout: one buffer, one compile, any number of samples up to its capacity."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from safety_envs.base import where_env
from safety_envs.lanes import lanes_max

from espo_jax.devices import by_device


class Rollout(NamedTuple):
    """Transitions of N environments in a buffer of T time steps; the first time steps are in use.

    Args:
      observation: [T, N, O] observation that the policy acted on.
      action: [T, N, A] raw action, before any clamping.
      log_prob: [T, N] log density of the action under the policy that took it.
      reward: [T, N] reward.
      cost: [T, N, K] costs.
      terminated: [T, N] bool, the task ended with the step.
      truncated: [T, N] bool, the time limit cut the episode after the step.
      finished: [T, N] bool, a whole episode ended: one that began with a reset and not, by `stagger`, at a later age.
      age: [T, N] int32 number of agent steps of the episode before this one.
      mask: [T, N] bool, True for the samples in use. They fill the leading time steps; in the last of these, only some
        environments may have a sample. Elsewhere all fields are 0.
      final_observation: [E + 1, N, O] what the next samples do not observe: row j is where the j-th truncation of an
        environment led to, before the reset, and the last row is what the environment observes after its last sample.
        E is the largest number of truncations in T time steps. Unused rows are 0.
      finite: [T, N] bool, whether the observation that the step led to, before any reset, is finite.
    """

    observation: jax.Array
    action: jax.Array
    log_prob: jax.Array
    reward: jax.Array
    cost: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    finished: jax.Array
    age: jax.Array
    mask: jax.Array
    final_observation: jax.Array
    finite: jax.Array

    @property
    def num_steps(self) -> jax.Array:
        """Number of time steps in which any environment stepped: [] int32."""
        return jnp.sum(jnp.any(self.mask, axis=1))

    @property
    def episodes_finished(self) -> jax.Array:
        """Number of whole episodes that ended among the samples: [] float32."""
        return jnp.sum(self.finished).astype(jnp.float32)


Policy = Callable[[jax.Array, Any], tuple[jax.Array, jax.Array]]


def collect(
    env: Any,
    policy: Policy,
    env_state: Any,
    key: jax.Array,
    sample_size: jax.Array,
    capacity: int,
    turn: jax.Array | int = 0,
    chunk: int = 1,
    draw: Callable[[jax.Array], Any] = lambda key: key,
) -> tuple[Any, Rollout]:
    """Take exactly `sample_size` samples from N environments into a buffer of `capacity` time steps.

    All environments step until fewer than N samples are left. In the last time step only as many environments step as
    are needed; the others stand still and lose nothing. The environments take turns. The order spreads them, since the
    ages of their episodes rise with their numbers (`stagger`). Give the next call the turn `(turn + sample_size) % N`:
    the numbers of steps of two environments then never differ by more than one.

    The time for stepping is proportional to the number of time steps (under vmap: to the largest number among the
    lanes). Shapes do not depend on it.

    Args:
      env: vectorised environment that resets automatically, from `safety_envs.wrap`. Its info has "cost", "truncation",
        "whole_episode" and "final_observation"; `age` gives the age of the episodes, and `hold` undoes a step. It
        truncates an episode after `episode_length // action_repeat` steps only.
      policy: (observation [N, O], what `draw` gave for the time step) -> (action [N, A], log_prob [N]).
      env_state: state of the N environments.
      key: key for the actions.
      sample_size: [] int32 number of samples, in [0, capacity N].
      capacity: T, number of time steps of the buffer.
      turn: [] int32 in [0, N), the turn of the environment that steps first when not all of them step.
      chunk: number of time steps between two looks at whether the samples are complete, a divisor of the capacity.
        An accelerator waits for the host at every look. Time steps after the last sample take time and are undone.
      draw: key of a time step -> what is random in the actions, such as noise [N, A]. It is called for all T time
        steps before the first one, because drawing in the loop took up to a tenth of the loop's time on a CPU.

    Returns:
      The environments' state after the samples, and the Rollout.

    Raises:
      ValueError: the chunk is no divisor of the capacity.
    """
    if chunk < 1 or capacity % chunk:
        raise ValueError(f"chunk is {chunk}: it must be a divisor of the capacity ({capacity} time steps)")
    draws = jax.vmap(lambda time: draw(jax.random.fold_in(key, time)))(jnp.arange(capacity))
    num_envs, axes = env_state.done.shape[-1], env.env_axes(env_state)

    def step_through(env_state: Any, draws: Any, place: jax.Array) -> tuple[Any, Rollout, jax.Array]:
        return _step_through(env, policy, env_state, draws, place, sample_size, num_envs, chunk)

    place = (_order(num_envs) - turn) % num_envs
    env_state, buffer, final = by_device(step_through, (axes, 1, 0), (axes, 1, 1))(env_state, draws, place)
    return env_state, buffer._replace(final_observation=jnp.concatenate([final, env_state.obs[None]]))


def _step_through(
    env: Any,
    policy: Policy,
    env_state: Any,
    draws: Any,
    place: jax.Array,
    sample_size: jax.Array,
    num_envs: int,
    chunk: int,
) -> tuple[Any, Rollout, jax.Array]:
    """The loop of `collect` for the environments of a device: their state, the buffer, the final observations.

    Args as for `collect`, but
      draws: what was drawn, for every time step.
      place: place of each of these environments in the order of turns.
      num_envs: number of environments of all devices.
    """
    capacity = len(jax.tree.leaves(draws)[0])
    most_truncations = -(-capacity // (env.episode_length // env.action_repeat))

    def step(state: Any, time: jax.Array) -> tuple[Any, Rollout]:
        action, log_prob = policy(state.obs, jax.tree.map(lambda x: x[time], draws))
        next_state = env.step(state, action)
        return next_state, _transition(env, state, action, log_prob, next_state)

    def body(_: int, carry: tuple) -> tuple:
        time, state, buffer, final, truncations = carry
        next_state, transition = step(state, time)
        # Under vmap this is also False for a lane that needs fewer time steps than the longest one.
        stepped = time * num_envs + place < sample_size
        transition = jax.tree.map(lambda x: where_env(stepped, x, jnp.zeros_like(x)), transition)
        buffer = jax.tree.map(lambda b, x: jax.lax.dynamic_update_index_in_dim(b, x, time, 0), buffer, transition)
        final = _keep_final(final, next_state.info["final_observation"], transition.truncated, truncations)
        return time + 1, env.hold(state, next_state, ~stepped), buffer, final, truncations + transition.truncated

    shapes = jax.eval_shape(step, env_state, jnp.int32(0))[1]
    buffer = jax.tree.map(lambda s: jnp.zeros((capacity, *s.shape), s.dtype), shapes)
    final = jnp.zeros((most_truncations, *env_state.obs.shape), env_state.obs.dtype)
    last = lanes_max((sample_size + num_envs - 1) // num_envs)
    start = (jnp.int32(0), env_state, buffer, final, jnp.zeros(len(place), jnp.int32))
    with jax.named_scope("time_steps"):
        _, env_state, buffer, final, _ = jax.lax.while_loop(
            lambda carry: carry[0] < last,
            lambda carry: body(0, carry) if chunk == 1 else jax.lax.fori_loop(0, chunk, body, carry),
            start,
        )
    return env_state, buffer, final


def _keep_final(final: jax.Array, observation: jax.Array, truncated: jax.Array, row: jax.Array) -> jax.Array:
    """Final observations [E, N, O] with those [N, O] of the environments that are truncated, each at its row."""

    def one(final: jax.Array, observation: jax.Array, truncated: jax.Array, row: jax.Array) -> jax.Array:
        return final.at[jnp.where(truncated, row, len(final))].set(observation, mode="drop")

    return jax.vmap(one, in_axes=(1, 0, 0, 0), out_axes=1)(final, observation, truncated, row)


def _transition(env: Any, state: Any, action: jax.Array, log_prob: jax.Array, next_state: Any) -> Rollout:
    """One time step of all environments as a row of the buffer."""
    truncated = next_state.info["truncation"] > 0
    return Rollout(
        observation=state.obs,
        action=action,
        log_prob=log_prob,
        reward=next_state.reward,
        cost=next_state.info["cost"].reshape(len(truncated), -1),
        terminated=(next_state.done > 0) & ~truncated,
        truncated=truncated,
        finished=(next_state.done > 0) & next_state.info["whole_episode"],
        age=env.age(state).astype(jnp.int32),
        mask=jnp.ones_like(truncated),
        final_observation=(),  # type: ignore[arg-type]  # not a row of the buffer
        finite=jnp.all(jnp.isfinite(next_state.info["final_observation"]), axis=-1),
    )


def _order(num_envs: int) -> np.ndarray:
    """Place of each environment in the order of turns: [N], a permutation that spreads every part of it evenly."""
    stride = round(num_envs * (math.sqrt(5) - 1) / 2)
    while math.gcd(stride, num_envs) != 1:
        stride += 1
    return (np.arange(num_envs) * stride % num_envs).astype(np.int32)
