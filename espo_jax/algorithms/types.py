"""What algorithms pass around: their state, what an update rule sees, and what it did."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.struct
import jax
from brax.training.types import UInt64

from espo_jax.blocks import Blocks
from espo_jax.config import Config
from espo_jax.episode_estimate import EpisodeEstimate, LifeTable
from espo_jax.hyperparams import Hyperparams
from espo_jax.modes import ModeChoice
from espo_jax.networks import Networks
from espo_jax.policy import Gaussian


@flax.struct.dataclass
class TrainState:
    """Everything an algorithm carries from one iteration to the next; a pytree of arrays.

    Args:
      key: PRNG key.
      iteration: [] int32 iterations finished.
      env_steps: number of samples taken so far, in 64 bits: two [] uint32.
      sample_size: [] int32 number of samples of the next iteration.
      turn: [] int32 whose turn it is where the last time step of a rollout is not for all environments.
      env_state: state of the N environments.
      policy: [P] flat parameters.
      rule_state: what the update rule carries from one iteration to the next, such as multipliers; () for nothing.
      critics: [1 + K, P'] flat parameters, reward first.
      critic_optimizer: optimiser state of the critics (adam; L-BFGS starts afresh in each iteration).
      normalizer: running observation statistics.
      episode: estimates of V_r, V_c and episode length.
      life_table: at which age episodes terminate.
      mode_counts: [4] int32 iterations spent in each mode.
    """

    key: jax.Array
    iteration: jax.Array
    env_steps: UInt64
    sample_size: jax.Array
    turn: jax.Array
    env_state: Any
    policy: jax.Array
    rule_state: Any
    critics: jax.Array
    critic_optimizer: Any
    normalizer: Any
    episode: EpisodeEstimate
    life_table: LifeTable
    mode_counts: jax.Array


class Batch(NamedTuple):
    """What an update rule sees of a rollout.

    Args:
      observation: [T, N, O] whitened.
      action: [T, N, A].
      log_prob: [T, N] under the current policy.
      distribution: the current policy's Gaussians, [T, N, A].
      advantage: [T, N, 1 + K] standardised; of the reward, and the negative of each cost's: more is better.
      advantage_scale: [1 + K] what they were divided by: reward and cost per episode step behind an advantage of 1.
      mask: [T, N] bool.
      blocks: the part of [T] in use.
    """

    observation: jax.Array
    action: jax.Array
    log_prob: jax.Array
    distribution: Gaussian
    advantage: jax.Array
    advantage_scale: jax.Array
    mask: jax.Array
    blocks: Blocks


class Problem(NamedTuple):
    """What an update rule sees of an iteration.

    Args:
      networks: see Networks.
      params: [P] the policy's parameters.
      batch: samples.
      episode: V_r, V_c and episode length.
      warmup: [] bool, the constraints do not count yet.
      slack_positive, slack_negative: [K] as annealed.
      choice: what the three modes would do about V_c; for ESPO what it does, for every algorithm where its band is.
      key: for the order of minibatches.
      config: static settings.
      hyperparams: traced settings.
    """

    networks: Networks
    params: jax.Array
    batch: Batch
    episode: EpisodeEstimate
    warmup: jax.Array
    slack_positive: jax.Array
    slack_negative: jax.Array
    choice: ModeChoice
    key: jax.Array
    config: Config
    hyperparams: Hyperparams


class Update(NamedTuple):
    """What an update rule did.

    Args:
      step: [P] change of the policy's parameters.
      active: [1 + K] bool, the objectives followed: reward, constraints.
      weight: [1 + K] at least 0, up to a common factor: the step follows the (natural) gradient of this weighted sum.
      gram: [1 + K, 1 + K] inner products of the objectives' directions in the metric of the conflict.
      kl: [] nats, from the old policy.
      step_fraction: [] smallest share of a full step accepted among the objectives followed (of the passes, for a
        first-order update); 0 means no step.
      cg_residual: [] largest relative residual of the conjugate gradients, 0 without any.
      multiplier: [K] Lagrange multipliers, 0 without any.
      state: state of the rule for the next iteration.
      failed_line_searches: [] number of objectives compared whose own natural step found no acceptable share.
    """

    step: jax.Array
    active: jax.Array
    weight: jax.Array
    gram: jax.Array
    kl: jax.Array
    step_fraction: jax.Array
    cg_residual: jax.Array
    multiplier: jax.Array
    state: Any = ()
    failed_line_searches: jax.Array | int = 0


class UpdateRule(NamedTuple):
    """Which direction an algorithm takes: pure, and independent of how the samples came about.

    Args:
      name: of the algorithm.
      update: (problem, state) -> Update.
      init: (networks, params [P], config, hyperparams) -> state.
      sample_size_rule: the rule in use where the config names none.
      balances: whether it has a balance mode, for config.conflict_resolution to apply to.
    """

    name: str
    update: Callable[[Problem, Any], Update]
    init: Callable[[Networks, jax.Array, Config, Hyperparams], Any] = lambda *_: ()
    sample_size_rule: str = "fixed"
    balances: bool = False
