"""The iteration that all algorithms share; an update rule fills in which direction to take.

iteration = roll out, estimate V_r and V_c, advantages, update rule, critics, next sample size
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
import safety_envs
from safety_envs.base import strongly_typed

from espo_jax import conflict, critic, minibatch, modes, normalize, policy, sample_size, surrogate
from espo_jax.algorithms.batch import prepare_batch, whiten
from espo_jax.algorithms.inference import inference_fn
from espo_jax.algorithms.measurement import find_nonfinite, measure
from espo_jax.algorithms.types import Algorithm, Batch, Metrics, Problem, TrainState, Update, UpdateRule
from espo_jax.config import Config
from espo_jax.hyperparams import Hyperparams
from espo_jax.networks import Networks, make_networks
from espo_jax.rollout import EpisodeEstimate, collect, estimate_episodes

# Rules that estimate the variance of the gradient from its blocks, and how many that takes at least.
VARIANCE_TESTS = {"norm_test": sample_size.norm_test, "inner_product_test": sample_size.inner_product_test}
FEWEST_BLOCKS = 4


def make(env: Any, config: Config, update_rule: UpdateRule) -> Algorithm:
    """Build an algorithm from an environment, static settings and an update rule.

    Args:
      env: environment with Brax's reset and step for one instance, reporting info["cost"].
      config: static settings.
      update_rule: which direction.

    Raises:
      ValueError: the environment reports no cost, or has no episode length of its own and config none; or a setting
        makes no sense for the update rule.
    """
    config = settle(config, update_rule)
    wrapped = safety_envs.wrap(env, episode_length=config.episode_length, action_repeat=config.action_repeat)
    num_constraints = jax.eval_shape(env.reset, jax.random.key(0)).info["cost"].size
    networks = make_networks(env.observation_size, env.action_size, num_constraints, config)

    def restart(key: jax.Array) -> Any:
        state = wrapped.reset(jax.random.split(key, config.num_envs))
        # Environments that carry on across iterations would otherwise all finish together, iterations apart.
        return state if config.reset_each_iteration else wrapped.stagger(state)

    def init(key: jax.Array, hyperparams: Hyperparams) -> TrainState:
        if hyperparams.cost_limit.shape[-1] != num_constraints:
            raise ValueError(
                f"cost_limit has {hyperparams.cost_limit.shape[-1]} values: the environment reports "
                f"{num_constraints} costs"
            )
        key, env_key, policy_key, critic_key = jax.random.split(key, 4)
        params = networks.init_policy(policy_key)
        critics = networks.init_critics(critic_key)
        state = TrainState(
            key=key,
            iteration=jnp.int32(0),
            env_steps=jnp.int32(0),
            num_steps=jnp.int32(config.base_sample_size // config.num_envs),
            env_state=restart(env_key),
            policy=params,
            rule_state=update_rule.init(networks, params, config, hyperparams),
            critics=critics,
            critic_optimizer=jax.vmap(critic_optimizer(config, hyperparams).init)(critics),
            normalizer=normalize.init(env.observation_size),
            episode=EpisodeEstimate(
                reward=jnp.float32(0.0),
                cost=jnp.zeros(num_constraints),
                length=jnp.float32(wrapped.episode_length),
            ),
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

        env_state, rollout, totals = collect(wrapped, act, env_state, rollout_key, state.num_steps, config.capacity)
        episode = estimate_episodes(rollout, totals, state.episode)
        batch, target = prepare_batch(networks, config, state, rollout, hyperparams)
        problem = pose(networks, config, state, batch, episode, update_key, hyperparams)
        update = update_rule.update(problem, state.rule_state)
        mode = modes.mode_of(update.active, conflict.in_conflict(update.gram, update.active))
        critics, critic_state, critic_loss = fit_critics(
            networks, config, state, batch, target, critic_key, hyperparams
        )
        learned = TrainState(
            key=key,
            iteration=state.iteration + 1,
            env_steps=state.env_steps + state.num_steps * config.num_envs,
            num_steps=next_num_steps(problem, update, state.iteration),
            env_state=env_state,
            policy=state.policy + update.step,
            rule_state=update.state,
            critics=critics,
            critic_optimizer=critic_state,
            normalizer=normalize.update(state.normalizer, rollout.observation, rollout.mask),
            episode=episode,
            mode_counts=state.mode_counts.at[mode].add(1),
        )
        nonfinite = find_nonfinite(rollout, target, learned, critic_loss, update)
        # After nan or infinity nothing is learned, so that what was learned before stays usable.
        kept = dataclasses.replace(state, key=key, iteration=learned.iteration, env_steps=learned.env_steps)
        next_state = jax.tree.map(lambda new, old: jnp.where(nonfinite == 0, new, old), learned, kept)
        return next_state, measure(next_state, problem, update, mode, totals, critic_loss, nonfinite)

    @jax.jit
    def params(state: TrainState) -> tuple[Any, Any, Any]:
        return state.normalizer, networks.unravel_policy(state.policy), jax.vmap(networks.unravel_critic)(state.critics)

    return Algorithm(init, step, params, inference_fn(networks, config), config, wrapped, networks)


def settle(config: Config, update_rule: UpdateRule) -> Config:
    """The config with the sample-size rule of the algorithm where it names none.

    Raises:
      ValueError: conflict_resolution for an algorithm that has nothing to resolve, or a rule for the sample size with
        too few blocks to estimate a variance from.
    """
    if config.conflict_resolution != "projection" and not update_rule.balances:
        raise ValueError(
            f"conflict_resolution is {config.conflict_resolution!r}: {update_rule.name} has no balance mode in which "
            "several objectives are combined; espo and pcrpo have"
        )
    if config.sample_size_rule is None:
        config = dataclasses.replace(config, sample_size_rule=update_rule.sample_size_rule)
    blocks = -(-config.base_sample_size // (config.steps_per_block * config.num_envs))
    if config.sample_size_rule in VARIANCE_TESTS and blocks < FEWEST_BLOCKS:
        raise ValueError(
            f"sample_size_rule is {config.sample_size_rule!r}: it needs {FEWEST_BLOCKS} blocks of samples to compare, "
            f"and block_size {config.block_size} makes {blocks} of base_sample_size ({config.base_sample_size})"
        )
    return config


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


def critic_optimizer(config: Config, hyperparams: Hyperparams) -> Any:
    """The optimiser of one critic that keeps a state between iterations (L-BFGS starts afresh in each)."""
    if config.critic_optimizer == "lbfgs":
        return optax.identity()
    return minibatch.adam(hyperparams.critic_learning_rate, config.critic_max_gradient_norm)


def fit_critics(
    networks: Networks,
    config: Config,
    state: TrainState,
    batch: Batch,
    target: jax.Array,
    key: jax.Array,
    hyperparams: Hyperparams,
) -> tuple[jax.Array, Any, jax.Array]:
    """Fit the critics to their targets [T, N, 1 + K]: new parameters, optimiser state, losses [1 + K]."""
    if config.critic_optimizer == "adam":
        return critic.fit_adam(
            networks.critic, state.critics, critic_optimizer(config, hyperparams), state.critic_optimizer, key,
            batch.observation, target, batch.mask,
            l2=hyperparams.critic_l2, num_passes=config.critic_passes, minibatch_size=config.critic_minibatch_size,
        )  # fmt: skip

    def loss_fn(params: jax.Array) -> tuple[jax.Array, jax.Array]:
        return critic.loss_and_gradient(
            networks.critic, params, batch.observation, target, batch.mask, batch.blocks, l2=hyperparams.critic_l2
        )

    critics, loss = critic.fit_lbfgs(loss_fn, state.critics, num_iterations=config.lbfgs_iterations)
    return critics, state.critic_optimizer, loss


def next_num_steps(problem: Problem, update: Update, iteration: jax.Array) -> jax.Array:
    """Time steps of the next iteration by the configured sample-size rule: [] int32."""
    config, hp, choice = problem.config, problem.hyperparams, problem.choice
    rule, base = config.sample_size_rule, config.base_sample_size
    zetas = (
        modes.anneal(hp.zeta_positive, iteration, hp.num_iterations, hp.anneal_zeta_positive),
        modes.anneal(hp.zeta_negative, iteration, hp.num_iterations, hp.anneal_zeta_negative),
    )
    if rule == "fixed":
        size = sample_size.fixed(base)
    elif rule == "gradient_conflict":
        fight = choice.balance & conflict.in_conflict(update.gram, choice.active)
        size = sample_size.gradient_conflict(base, fight, *zetas)
    elif rule == "conflict_angle":
        angle = conflict.conflict_angle(update.gram, choice.active)
        size = sample_size.conflict_angle(base, choice.balance, angle, *zetas)
    else:
        test, batch = VARIANCE_TESTS[str(rule)], problem.batch
        weight = update.weight / jnp.maximum(jnp.sum(update.weight), jnp.finfo(jnp.float32).tiny)
        gradient, count = surrogate.block_gradients(
            problem.networks.policy, problem.params, batch.observation, batch.action, batch.log_prob,
            jnp.sum(weight * batch.advantage, axis=-1), batch.mask, batch.blocks,
        )  # fmt: skip
        size = test(base, gradient, count, hp.variance_tolerance, *zetas)
    return sample_size.whole_steps(size, config.num_envs, config.max_steps)
