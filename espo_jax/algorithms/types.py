"""What algorithms pass around: their state, what an update rule sees, and what it did."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.struct
import jax

from espo_jax.blocks import Blocks
from espo_jax.brax_types import UInt64
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
      iteration: [] int32 number of finished iterations.
      env_steps: number of samples taken so far, in 64 bits: two [] uint32.
      sample_size: [] int32 number of samples of the next iteration.
      turn: [] int32 turn of the environment that steps first in the last time step of a rollout (see rollout.collect).
      env_state: state of the N environments.
      policy: [P] flat parameters.
      rule_state: state of the update rule, such as multipliers; () for a rule without state.
      critics: [1 + K, P'] flat parameters, the reward's critic first.
      critic_optimizer: optimiser state of the critics (adam; L-BFGS starts afresh in each iteration).
      normalizer: running observation statistics.
      episode: estimates of V_r, V_c and episode length.
      life_table: counts of the ages at which episodes terminate.
      mode_counts: [4] int32 number of iterations in each mode.
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
    """The samples that an update rule gets.

    Args:
      observation: [T, N, O] observations, not whitened.
      action: [T, N, A] actions.
      log_prob: [T, N] log density of the actions under the current policy.
      distribution: Gaussians of the current policy, [T, N, A].
      advantage: [T, N, 1 + K] standardised advantages of the reward and of minus each cost: more is better.
      advantage_scale: [1 + K] scale that they were divided by: the reward or cost that an advantage of 1 stands for.
      mask: [T, N] bool, the samples in use.
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
    """What an update rule gets.

    Args:
      networks: policy and critics as functions of flat parameters and of observations that are not whitened.
      params: [P] parameters of the policy.
      batch: samples.
      episode: estimates of V_r, V_c and the length of an episode.
      iteration: [] number of finished iterations.
      warmup: [] bool, whether the constraints do not count yet.
      slack_positive, slack_negative: [K] h+ and h-, as annealed.
      choice: choice of the three modes by V_c. ESPO follows it; sample-size rules use it with every algorithm.
      key: key for the order of minibatches.
      config: static settings.
      hyperparams: traced settings.
    """

    networks: Networks
    params: jax.Array
    batch: Batch
    episode: EpisodeEstimate
    iteration: jax.Array
    warmup: jax.Array
    slack_positive: jax.Array
    slack_negative: jax.Array
    choice: ModeChoice
    key: jax.Array
    config: Config
    hyperparams: Hyperparams


class Update(NamedTuple):
    """The result of an update rule.

    Args:
      step: [P] change of the policy's parameters.
      active: [1 + K] bool, the objectives that are followed: the reward, then each constraint.
      weight: [1 + K] at least 0, up to a common factor: the step follows the (natural) gradient of this weighted sum.
      gram: [1 + K, 1 + K] inner products of the objectives' directions in the metric of the conflict.
      kl: [] KL divergence from the old policy, in nats.
      step_fraction: [] smallest accepted share of a full step among the objectives that are followed; 0 means no step.
        For a first-order update it is the share of the passes.
      cg_residual: [] largest relative residual of the conjugate gradients; 0 for a rule without them.
      multiplier: [K] Lagrange multipliers; 0 for a rule without them.
      state: state of the rule for the next iteration.
      failed_line_searches: [] number of compared objectives whose own natural step found no acceptable share.
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
    """The direction of the policy update: pure functions that do not depend on how the samples were taken.

    Args:
      name: name of the algorithm.
      update: (problem, state) -> Update.
      init: (networks, params [P], config, hyperparams) -> state.
      sample_size_rule: the sample-size rule in use if the config names none.
      balances: whether the rule has a balance mode; config.conflict_resolution applies to it.
      first_order: whether the rule descends on minibatches; config.policy_minibatch_size applies to it.
      unused: names of settings that have no effect on it, which the help of the command line leaves out.
    """

    name: str
    update: Callable[[Problem, Any], Update]
    init: Callable[[Networks, jax.Array, Config, Hyperparams], Any] = lambda *_: ()
    sample_size_rule: str = "fixed"
    balances: bool = False
    first_order: bool = False
    unused: tuple[str, ...] = ()


# Settings that only some kinds of rules use.
OF_FIRST_ORDER = (
    "policy_passes", "policy_minibatch_size", "policy_max_gradient_norm", "policy_learning_rate",
    "anneal_policy_learning_rate", "clip_ratio", "multiplier_init", "multiplier_learning_rate",
    "multiplier_max", "multiplier_optimizer",
)  # fmt: skip
OF_NATURAL_STEPS = ("cg_iterations", "cg_damping", "fisher_stride", "line_search_steps", "accept_ratio", "kl_margin")
OF_BALANCE = ("reward_weight", "conflict_resolution", "cagrad_radius")
OF_CRPO = ("cost_tolerance",)
