"""The iteration that all algorithms share; the update rule gives the direction of the policy update.

iteration = roll out, estimate V_r and V_c, advantages, update rule, critics, next sample size
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import safety_envs
from safety_envs.base import strongly_typed

from espo_jax import conflict, critic, modes, normalize, policy, sample_size, surrogate
from espo_jax.algorithms.batch import pose, prepare_batch, whiten
from espo_jax.algorithms.checks import Rule, check_hyperparams, check_minibatches, fit_device, settle
from espo_jax.algorithms.inference import inference_fn
from espo_jax.algorithms.metrics import Metrics, find_nonfinite, measure
from espo_jax.algorithms.types import Problem, TrainState, Update, UpdateRule
from espo_jax.brax_types import UInt64
from espo_jax.config import Config
from espo_jax.episode_estimate import estimate_episodes, no_episodes
from espo_jax.hyperparams import Hyperparams
from espo_jax.networks import Networks, make_networks
from espo_jax.rollout import Rollout, collect
from espo_jax.sample_size import Evidence, SampleSizeRule


class Algorithm(NamedTuple):
    """A pair of pure functions, after Optax, and what belongs to them.

    Args:
      check: (hyperparams) -> None. It raises a ValueError if they make no sense with the static settings or the
        environment. `init` calls it; under jit or vmap values are traced and pass, so call it before.
      init: (key, hyperparams) -> TrainState.
      step: (state, hyperparams) -> (TrainState, Metrics), one iteration; jit, vmap, scan and shard it at will.
      params: TrainState -> (normalizer, policy, critics), the last two as flax variables.
      make_inference_fn: (params, deterministic=False) -> policy(obs, key) -> (action, extras), as in Brax.
      config: the static settings.
      env: the wrapped, vectorised environment.
      networks: policy and critics as functions of flat parameters.
      put: puts a TrainState, such as one that was read from a file, on the devices of `parallel.over_devices`.
    """

    check: Callable[[Hyperparams], None]
    init: Callable[[jax.Array, Hyperparams], TrainState]
    step: Callable[[TrainState, Hyperparams], tuple[TrainState, Metrics]]
    params: Callable[[TrainState], tuple[Any, Any, Any]]
    make_inference_fn: Callable[..., Callable]
    config: Config
    env: Any
    networks: Networks
    put: Callable[[TrainState], TrainState] = lambda state: state


class _Parts(NamedTuple):
    """The static parts of an algorithm."""

    env: Any  # wrapped and vectorised
    config: Config
    networks: Networks
    update_rule: UpdateRule
    sample_size_rule: SampleSizeRule
    episode_length: int  # agent steps
    observation_size: int


def make(env: Any, config: Config, update_rule: UpdateRule, sample_size_rule: Rule | None = None) -> Algorithm:
    """Build an algorithm from an environment, static settings, an update rule and a sample-size rule.

    Arguments and errors are those of `trainer.Trainer.make`, with the update rule in addition.
    """
    if jax.config.read("jax_enable_x64"):
        raise ValueError("jax_enable_x64 is True: algorithms compute in float32; use them within jax.enable_x64(False)")
    config, rule = settle(config, update_rule, sample_size_rule)
    wrapped = safety_envs.wrap(
        env,
        episode_length=config.episode_length,
        action_repeat=config.action_repeat,
        pool_size=config.reset_pool_size,
    )
    num_constraints = jax.eval_shape(env.reset, jax.random.key(0)).info["cost"].size
    if num_constraints == 0:
        raise ValueError('the environment reports info["cost"] without a value: it must have one for each constraint')
    config = fit_device(config, rule, env.observation_size, num_constraints, jax.default_backend())
    networks = make_networks(env.observation_size, env.action_size, num_constraints, config)
    episode_length = wrapped.episode_length // wrapped.action_repeat
    parts = _Parts(wrapped, config, networks, update_rule, rule, episode_length, env.observation_size)

    def check(hyperparams: Hyperparams) -> None:
        check_minibatches(config, update_rule, jax.default_backend())
        check_hyperparams(config, rule, hyperparams, num_constraints, episode_length)

    def init(key: jax.Array, hyperparams: Hyperparams) -> TrainState:
        check(hyperparams)
        return _init(parts, key, hyperparams)

    def step(state: TrainState, hyperparams: Hyperparams) -> tuple[TrainState, Metrics]:
        return _step(parts, state, hyperparams)

    @jax.jit
    def params(state: TrainState) -> tuple[Any, Any, Any]:
        return state.normalizer, networks.unravel_policy(state.policy), jax.vmap(networks.unravel_critic)(state.critics)

    return Algorithm(check, init, step, params, inference_fn(networks, config), config, wrapped, networks)


def _init(parts: _Parts, key: jax.Array, hyperparams: Hyperparams) -> TrainState:
    """The state before the first iteration."""
    config, networks = parts.config, parts.networks
    key, env_key, policy_key, critic_key = jax.random.split(key, 4)
    params = networks.init_policy(policy_key)
    critics = networks.init_critics(critic_key)
    episode, life_table = no_episodes(parts.episode_length, networks.num_constraints)
    state = TrainState(
        key=key,
        iteration=jnp.int32(0),
        env_steps=UInt64(hi=0, lo=0),
        sample_size=jnp.int32(config.base_sample_size),
        turn=jnp.int32(0),
        env_state=_restart(parts, env_key),
        policy=params,
        rule_state=parts.update_rule.init(networks, params, config, hyperparams),
        critics=critics,
        critic_optimizer=critic.OPTIMIZERS[config.critic_optimizer].init(critics, critic_settings(config, hyperparams)),
        normalizer=normalize.init(parts.observation_size),
        episode=episode,
        life_table=life_table,
        mode_counts=jnp.zeros(len(modes.MODE_NAMES), jnp.int32),
    )
    return strongly_typed(state)


def _step(parts: _Parts, state: TrainState, hyperparams: Hyperparams) -> tuple[TrainState, Metrics]:
    """One iteration."""
    config = parts.config
    # Whitening where observations are read costs little; a whitened copy of the rollout would take its memory again.
    networks = parts.networks._replace(whiten=partial(whiten, config, state.normalizer))
    key, reset_key, rollout_key, critic_key, update_key = jax.random.split(state.key, 5)
    env_state = _restart(parts, reset_key) if config.reset_each_iteration else state.env_state
    env_state, rollout = roll_out(parts.env, config, networks, state, env_state, rollout_key)
    episode, life_table = estimate_episodes(rollout, state.life_table, state.episode.length)
    batch, target = prepare_batch(networks, config, state, rollout, hyperparams)
    problem = pose(networks, config, state, batch, episode, update_key, hyperparams)
    with jax.named_scope("update_policy"):
        update = parts.update_rule.update(problem, state.rule_state)
    with jax.named_scope("fit_critics"):
        critics, critic_state, critic_loss = critic.OPTIMIZERS[config.critic_optimizer].fit(
            networks.critic, state.critics, state.critic_optimizer, critic_key,
            critic.Samples(batch.observation, target, batch.mask, batch.blocks), critic_settings(config, hyperparams),
        )  # fmt: skip
    mode = modes.mode_of(update.active, conflict.in_conflict(update.gram, update.active))
    learned = TrainState(
        key=key,
        iteration=state.iteration + 1,
        env_steps=state.env_steps + state.sample_size,
        sample_size=next_sample_size(parts.sample_size_rule, problem, update, state.iteration),
        turn=(state.turn + state.sample_size) % config.num_envs,
        env_state=env_state,
        policy=state.policy + update.step,
        rule_state=update.state,
        critics=critics,
        critic_optimizer=critic_state,
        normalizer=normalize.update_in_blocks(state.normalizer, rollout.observation, rollout.mask, batch.blocks),
        episode=episode,
        life_table=life_table,
        mode_counts=state.mode_counts.at[mode].add(1),
    )
    nonfinite = find_nonfinite(rollout, target, learned, critic_loss, update)
    # After nan or infinity nothing is learned, so that what was learned before stays usable.
    kept = dataclasses.replace(state, key=key, iteration=learned.iteration, env_steps=learned.env_steps)
    next_state = jax.tree.map(lambda new, old: jnp.where(nonfinite == 0, new, old), learned, kept)
    return next_state, measure(next_state, problem, update, mode, rollout, critic_loss, nonfinite)


def _restart(parts: _Parts, key: jax.Array) -> Any:
    """New episodes in all environments."""
    state = parts.env.reset(jax.random.split(key, parts.config.num_envs))
    # Environments that carry on across iterations would otherwise all finish together, iterations apart.
    return state if parts.config.reset_each_iteration else parts.env.stagger(state)


@jax.named_scope("roll_out")
def roll_out(
    env: Any, config: Config, networks: Networks, state: TrainState, env_state: Any, key: jax.Array
) -> tuple[Any, Rollout]:
    """Take the samples of an iteration with the policy and the sample size of the state.

    Args:
      env: wrapped, vectorised environment.
      config: static settings.
      networks: networks, of which the policy is used.
      state: state before the iteration.
      env_state: state of the environments.
      key: key of the actions.

    Returns:
      The environments' state after the samples, and the Rollout.
    """

    def act(observation: jax.Array, noise: jax.Array) -> tuple[jax.Array, jax.Array]:
        distribution = networks.policy(state.policy, observation)
        action = policy.from_noise(noise, distribution)
        return action, policy.log_prob(distribution, action)

    return collect(
        env, act, env_state, key, state.sample_size, config.capacity, state.turn, config.steps_per_chunk,
        draw=lambda key: jax.random.normal(key, (config.num_envs, env.action_size)),
    )  # fmt: skip


def critic_settings(config: Config, hyperparams: Hyperparams) -> critic.CriticSettings:
    """Settings of the critics' fits."""
    return critic.CriticSettings(
        l2=hyperparams.critic_l2,
        learning_rate=hyperparams.critic_learning_rate,
        max_gradient_norm=config.critic_max_gradient_norm,
        num_passes=config.critic_passes,
        minibatch_size=config.critic_samples_per_minibatch,
        lbfgs_iterations=config.lbfgs_iterations,
    )


@jax.named_scope("next_sample_size")
def next_sample_size(rule: SampleSizeRule, problem: Problem, update: Update, iteration: jax.Array) -> jax.Array:
    """Number of samples of the next iteration by a sample-size rule: [] int32."""
    config, hp, choice, batch = problem.config, problem.hyperparams, problem.choice, problem.batch

    def block_gradients() -> tuple[jax.Array, jax.Array]:
        weight = update.weight / jnp.maximum(jnp.sum(update.weight), jnp.finfo(jnp.float32).tiny)
        return surrogate.block_gradients(
            problem.networks.policy, problem.params, batch.observation, batch.action, batch.log_prob,
            jnp.sum(weight * batch.advantage, axis=-1), batch.mask, batch.blocks,
        )  # fmt: skip

    evidence = Evidence(
        base=config.base_sample_size,
        zeta_positive=modes.anneal(hp.zeta_positive, iteration, hp.num_iterations, hp.anneal_zeta_positive),
        zeta_negative=modes.anneal(hp.zeta_negative, iteration, hp.num_iterations, hp.anneal_zeta_negative),
        balance=choice.balance,
        conflict=choice.balance & conflict.in_conflict(update.gram, choice.active),
        angle=conflict.conflict_angle(update.gram, choice.active),
        tolerance=hp.variance_tolerance,
        block_gradients=block_gradients,
        key=jax.random.fold_in(problem.key, 2**31 - 1),  # the first ones are what an update splits it into
    )
    size = jnp.asarray(rule.size(evidence), jnp.float32)
    chex.assert_shape(size, (), custom_message="a sample-size rule must return one number")
    return sample_size.whole_samples(size, config.max_sample_size)
