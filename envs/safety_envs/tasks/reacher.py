"""SafetyReacher: bring a two-joint arm's fingertip to a target with little effort."""

import jax
import jax.numpy as jnp
from brax import base

from safety_envs.base import SafetyEnv, brax_model

_FINGERTIP_IN_LINK_1 = (0.11, 0.0, 0.0)  # metres; Brax fuses the jointless fingertip into the second link
_TARGET_RADIUS = 0.2  # metres


class SafetyReacher(SafetyEnv):
    """Gymnasium's Reacher-v4, which never terminates, with the effort as its cost.

        observation = (cos q, sin q, target_xy, qd, fingertip - target), [11]; q, qd of the two joints
        reward      = -||fingertip - target||, before the physics step; "step" adds -sum a^2
        cost        = sum a^2, a the raw action

    Reference: Safety-MuJoCo (SafeRL-Lab); PAPER.md section 10.
    """

    cost_limit = 40.0
    episode_length = 1000

    def load(self, backend: str) -> tuple[base.System, int]:
        """Brax's model and adjustments; a control step is 0.02 s on every backend."""
        system = brax_model("reacher.xml")
        if backend in ("spring", "positional"):
            system = system.tree_replace({"opt.timestep": 0.005, "actuator.gear": jnp.array([25.0, 25.0])})
            return system, 4
        return system, 2

    def initial(self, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Joints near zero, almost at rest; the target at rest, uniform on a disk's area."""
        uniform = jax.random.uniform(key, (6,))  # one draw, as each is slow to compile
        joints = self.sys.init_q[:2] + 0.1 * (2 * uniform[:2] - 1)
        velocity = 0.005 * (2 * uniform[2:4] - 1)
        radius, angle = _TARGET_RADIUS * jnp.sqrt(uniform[4]), 2 * jnp.pi * uniform[5]
        target = radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)])
        return jnp.concatenate([joints, target]), jnp.concatenate([velocity, jnp.zeros(2)])

    def observe(self, pipeline_state: base.State) -> jax.Array:
        """The 11 numbers of Reacher-v4."""
        q, qd = pipeline_state.q, pipeline_state.qd
        return jnp.concatenate([jnp.cos(q[:2]), jnp.sin(q[:2]), q[2:], qd[:2], _fingertip_from_target(pipeline_state)])

    def task_reward(self, before: base.State, action: jax.Array, after: base.State) -> jax.Array:
        """Closeness before the physics step, as in v4."""
        del action, after
        return -jnp.linalg.norm(_fingertip_from_target(before))

    def step_reward(self, before: base.State, action: jax.Array, after: base.State) -> jax.Array:
        """Closeness and the control penalty, v4's whole step reward."""
        return self.task_reward(before, action, after) - jnp.sum(jnp.square(action))

    def cost(self, before: base.State, action: jax.Array, after: base.State) -> jax.Array:
        """Effort of the raw action."""
        del before, after
        return jnp.sum(jnp.square(action))


def _fingertip_from_target(pipeline_state: base.State) -> jax.Array:
    fingertip = pipeline_state.x.take(1).do(base.Transform.create(pos=jnp.array(_FINGERTIP_IN_LINK_1))).pos
    return fingertip - pipeline_state.x.pos[2]
