"""The iteration that all algorithms share; an update rule fills in which direction to take.

iteration = roll out, estimate V_r and V_c, advantages, update rule, critics, next sample size
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import safety_envs
from brax.training.types import UInt64
from safety_envs.base import strongly_typed

from espo_jax import conflict, critic, modes, normalize, policy, sample_size, surrogate
from espo_jax.algorithms.batch import prepare_batch, whiten
from espo_jax.algorithms.inference import inference_fn
from espo_jax.algorithms.measurement import find_nonfinite, measure
from espo_jax.algorithms.types import Algorithm, Batch, Metrics, Problem, TrainState, Update, UpdateRule
from espo_jax.config import Config
from espo_jax.episode_estimate import EpisodeEstimate, estimate_episodes, no_episodes
from espo_jax.hyperparams import Hyperparams
from espo_jax.networks import Networks, make_networks
from espo_jax.rollout import collect
from espo_jax.sample_size import Evidence, SampleSizeRule
from espo_jax.validation import choose

# A rule for the sample size: a function from the evidence of an iteration to a size, that and what it needs, or a name.
Rule = SampleSizeRule | Callable[[Evidence], jax.Array] | str


def make(env: Any, config: Config, update_rule: UpdateRule, sample_size_rule: Rule | None = None) -> Algorithm:
    """Build an algorithm from an environment, static settings, an update rule and a sample-size rule.

    Args:
      env: environment with Brax's reset and step for one instance, reporting info["cost"].
      config: static settings.
      update_rule: which direction.
      sample_size_rule: how many samples next; None takes the one that the config names.

    Raises:
      ValueError: the environment reports no cost, or has no episode length of its own and config none; or a setting
        makes no sense for the environment or the rules.
    """
    config, rule = settle(config, update_rule, sample_size_rule)
    wrapped = safety_envs.wrap(env, episode_length=config.episode_length, action_repeat=config.action_repeat)
    episode_length = wrapped.episode_length // wrapped.action_repeat
    num_constraints = jax.eval_shape(env.reset, jax.random.key(0)).info["cost"].size
    if num_constraints == 0:
        raise ValueError('the environment reports info["cost"] without a value: it must have one for each constraint')
    critic_fit = critic.OPTIMIZERS[config.critic_optimizer]
    networks = make_networks(env.observation_size, env.action_size, num_constraints, config)

    def restart(key: jax.Array) -> Any:
        state = wrapped.reset(jax.random.split(key, config.num_envs))
        # Environments that carry on across iterations would otherwise all finish together, iterations apart.
        return state if config.reset_each_iteration else wrapped.stagger(state)

    def check(hyperparams: Hyperparams) -> None:
        if hyperparams.cost_limit.shape[-1] != num_constraints:
            raise ValueError(
                f"cost_limit has {hyperparams.cost_limit.shape[-1]} values: the environment reports "
                f"{num_constraints} costs"
            )
        if not hyperparams.is_traced:
            check_rules(config, rule, hyperparams, episode_length)

    def init(key: jax.Array, hyperparams: Hyperparams) -> TrainState:
        check(hyperparams)
        key, env_key, policy_key, critic_key = jax.random.split(key, 4)
        params = networks.init_policy(policy_key)
        critics = networks.init_critics(critic_key)
        episode, life_table = no_episodes(episode_length, num_constraints)
        state = TrainState(
            key=key,
            iteration=jnp.int32(0),
            env_steps=UInt64(hi=0, lo=0),
            sample_size=jnp.int32(config.base_sample_size),
            turn=jnp.int32(0),
            env_state=restart(env_key),
            policy=params,
            rule_state=update_rule.init(networks, params, config, hyperparams),
            critics=critics,
            critic_optimizer=critic_fit.init(critics, critic_settings(config, hyperparams)),
            normalizer=normalize.init(env.observation_size),
            episode=episode,
            life_table=life_table,
            mode_counts=jnp.zeros(len(modes.MODE_NAMES), jnp.int32),
        )
        return strongly_typed(state)

    def step(state: TrainState, hyperparams: Hyperparams) -> tuple[TrainState, Metrics]:
        key, reset_key, rollout_key, critic_key, update_key = jax.random.split(state.key, 5)
        env_state = restart(reset_key) if config.reset_each_iteration else state.env_state

        def act(observation: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
            distribution = networks.policy(state.policy, whiten(config, state.normalizer, observation))
            action = policy.sample(key, distribution)
            return action, policy.log_prob(distribution, action)

        env_state, rollout = collect(
            wrapped, act, env_state, rollout_key, state.sample_size, config.capacity, state.turn
        )
        episode, life_table = estimate_episodes(rollout, state.life_table, state.episode.length)
        batch, target = prepare_batch(networks, config, state, rollout, hyperparams)
        problem = pose(networks, config, state, batch, episode, update_key, hyperparams)
        update = update_rule.update(problem, state.rule_state)
        mode = modes.mode_of(update.active, conflict.in_conflict(update.gram, update.active))
        critics, critic_state, critic_loss = critic_fit.fit(
            networks.critic, state.critics, state.critic_optimizer, critic_key,
            critic.Samples(batch.observation, target, batch.mask, batch.blocks), critic_settings(config, hyperparams),
        )  # fmt: skip
        learned = TrainState(
            key=key,
            iteration=state.iteration + 1,
            env_steps=state.env_steps + state.sample_size,
            sample_size=next_sample_size(rule, problem, update, state.iteration),
            turn=(state.turn + state.sample_size) % config.num_envs,
            env_state=env_state,
            policy=state.policy + update.step,
            rule_state=update.state,
            critics=critics,
            critic_optimizer=critic_state,
            normalizer=normalize.update(state.normalizer, rollout.observation, rollout.mask),
            episode=episode,
            life_table=life_table,
            mode_counts=state.mode_counts.at[mode].add(1),
        )
        nonfinite = find_nonfinite(rollout, target, learned, critic_loss, update)
        # After nan or infinity nothing is learned, so that what was learned before stays usable.
        kept = dataclasses.replace(state, key=key, iteration=learned.iteration, env_steps=learned.env_steps)
        next_state = jax.tree.map(lambda new, old: jnp.where(nonfinite == 0, new, old), learned, kept)
        return next_state, measure(next_state, problem, update, mode, rollout, critic_loss, nonfinite)

    @jax.jit
    def params(state: TrainState) -> tuple[Any, Any, Any]:
        return state.normalizer, networks.unravel_policy(state.policy), jax.vmap(networks.unravel_critic)(state.critics)

    return Algorithm(check, init, step, params, inference_fn(networks, config), config, wrapped, networks)


def settle(
    config: Config, update_rule: UpdateRule, sample_size_rule: Rule | None = None
) -> tuple[Config, SampleSizeRule]:
    """The sample-size rule in use, and the config that names it: the algorithm's own where neither names one.

    Raises:
      ValueError: conflict_resolution for an algorithm that has nothing to resolve, or a rule for the sample size with
        too few blocks to estimate a variance from.
    """
    if config.conflict_resolution != "projection" and not update_rule.balances:
        raise ValueError(
            f"conflict_resolution is {config.conflict_resolution!r}: {update_rule.name} has no balance mode in which "
            "several objectives are combined; espo and pcrpo have"
        )
    if sample_size_rule is not None and not isinstance(sample_size_rule, str):
        rule = sample_size_rule if isinstance(sample_size_rule, SampleSizeRule) else SampleSizeRule(sample_size_rule)
        if not callable(rule.size):
            raise ValueError(
                f"sample_size_rule is {rule.size!r}: it must be a name or a function from Evidence to a size"
            )
        name = getattr(rule.size, "__name__", "a rule of your own")
        config = dataclasses.replace(config, sample_size_rule=None)
    else:
        name = sample_size_rule or config.sample_size_rule or update_rule.sample_size_rule
        rule = choose("sample_size_rule", name, sample_size.RULES)
        config = dataclasses.replace(config, sample_size_rule=name)
    blocks = -(-config.base_sample_size // (config.steps_per_block * config.num_envs))
    if blocks < rule.min_blocks:
        raise ValueError(
            f"sample_size_rule is {name!r}: it needs {rule.min_blocks} blocks of samples to compare, "
            f"and block_size {config.block_size} makes {blocks} of base_sample_size ({config.base_sample_size})"
        )
    return config, rule


def check_rules(config: Config, rule: SampleSizeRule, hyperparams: Hyperparams, episode_length: int) -> None:
    """Refuse hyperparameters, of one run or of several stacked ones, that make no sense for the static settings.

    Raises:
      ValueError: naming the field, its value and what is allowed.
    """
    hyperparams.check_capacity(config)
    no_band = (np.asarray(hyperparams.slack_positive) == 0) & (np.asarray(hyperparams.slack_negative) == 0)
    if rule.needs_band and np.any(np.all(no_band, axis=-1)):
        raise ValueError(
            f"slack_positive and slack_negative are 0: sample_size_rule {config.sample_size_rule or 'in use'!r} looks "
            "for conflicts while the cost lies between cost_limit + slack_negative and cost_limit + slack_positive, "
            "and this band has no width; give one of them (the default is 10 % of cost_limit, which is 0 where the "
            "limit is 0), or another sample_size_rule"
        )
    if config.reset_each_iteration:
        zeta = 0.0 if config.sample_size_rule == "fixed" else float(np.min(np.asarray(hyperparams.zeta_negative)))
        require_whole_episodes(config, round(config.base_sample_size * (1 + zeta)), episode_length)


def require_whole_episodes(config: Config, samples: int, episode_length: int) -> None:
    """Refuse iterations from resets that are too short to see the end of an episode.

    Args:
      config: static settings.
      samples: number of samples of the smallest iteration.
      episode_length: time limit in agent steps.

    Raises:
      ValueError: naming how many environments would do.
    """
    if samples // config.num_envs < episode_length:
        most = samples // episode_length
        remedy = f"at most {most} environments would do" if most else "a larger base_sample_size would do"
        raise ValueError(
            f"num_envs is {config.num_envs}: with reset_each_iteration, an iteration of {samples:,} samples has "
            f"{samples // config.num_envs} time steps, and an episode has {episode_length}; its end would never be "
            f"seen; {remedy}"
        )


def pose(
    networks: Networks,
    config: Config,
    state: TrainState,
    batch: Batch,
    episode: EpisodeEstimate,
    key: jax.Array,
    hyperparams: Hyperparams,
) -> Problem:
    """What the update rule is asked: the batch, and where V_c stands (Algorithm 1, lines 1 and 2)."""
    hp, iteration = hyperparams, state.iteration
    slack_positive = modes.anneal(hp.slack_positive, iteration, hp.num_iterations, hp.anneal_slack_positive)
    slack_negative = modes.anneal(hp.slack_negative, iteration, hp.num_iterations, hp.anneal_slack_negative)
    warmup = iteration < hp.warmup_iterations
    return Problem(
        networks=networks,
        params=state.policy,
        batch=batch,
        episode=episode,
        warmup=warmup,
        slack_positive=slack_positive,
        slack_negative=slack_negative,
        choice=modes.choose_mode(episode.cost, hp.cost_limit, slack_positive, slack_negative, hp.reward_weight, warmup),
        key=key,
        config=config,
        hyperparams=hp,
    )


def critic_settings(config: Config, hyperparams: Hyperparams) -> critic.CriticSettings:
    """Settings of the critics' fits."""
    return critic.CriticSettings(
        l2=hyperparams.critic_l2,
        learning_rate=hyperparams.critic_learning_rate,
        max_gradient_norm=config.critic_max_gradient_norm,
        num_passes=config.critic_passes,
        minibatch_size=config.critic_minibatch_size,
        lbfgs_iterations=config.lbfgs_iterations,
    )


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
    )
    size = jnp.asarray(rule.size(evidence), jnp.float32)
    chex.assert_shape(size, (), custom_message="a sample-size rule must return one number")
    return sample_size.whole_samples(size, config.max_sample_size)
