"""Checks of the static settings, the rules and the hyperparameters against each other and the environment."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from espo_jax import own_code, sample_size
from espo_jax.algorithms.types import UpdateRule
from espo_jax.config import CPU_BLOCK_SIZE, Config
from espo_jax.hyperparams import Hyperparams
from espo_jax.sample_size import Evidence, SampleSizeRule
from espo_jax.settings import choose

# On an accelerator: bytes of a block, minibatches of a pass, the most that a fit may take, the number of blocks for
# rules that compare them, and the time steps of a chunk of the rollout.
_BLOCK_BYTES, _MINIBATCHES, _MOST_MINIBATCHES, _COMPARED_BLOCKS, _LONGEST_CHUNK = 2**30, 32, 20_000, 10, 16

# A rule for the sample size: a name (perhaps module:name of the user's own code), a function from the evidence of an
# iteration to a size, or a SampleSizeRule.
Rule = SampleSizeRule | Callable[[Evidence], jax.Array] | str


def settle(
    config: Config, update_rule: UpdateRule, sample_size_rule: Rule | None = None
) -> tuple[Config, SampleSizeRule]:
    """The sample-size rule in use, and the config with its name; without a name it is the algorithm's own rule.

    Raises:
      ValueError: conflict_resolution is set for an algorithm that has nothing to resolve, or a name is not known.
    """
    if config.conflict_resolution != "projection" and not update_rule.balances:
        raise ValueError(
            f"conflict_resolution is {config.conflict_resolution!r}: {update_rule.name} has no balance mode in which "
            "several objectives are combined; espo and pcrpo have"
        )
    if sample_size_rule is not None and not isinstance(sample_size_rule, str):
        return dataclasses.replace(config, sample_size_rule=None), _sample_size_rule(sample_size_rule)
    name = sample_size_rule or config.sample_size_rule or update_rule.sample_size_rule
    if own_code.is_own(name):
        rule = _sample_size_rule(own_code.find("sample_size_rule", name))
    else:
        rule = choose("sample_size_rule", name, sample_size.RULES)
    return dataclasses.replace(config, sample_size_rule=name), rule


def _sample_size_rule(given: SampleSizeRule | Callable[[Evidence], jax.Array]) -> SampleSizeRule:
    rule = given if isinstance(given, SampleSizeRule) else SampleSizeRule(given)
    if not callable(rule.size):
        raise ValueError(f"sample_size_rule is {rule.size!r}: it must be a name or a function from Evidence to a size")
    return rule


def fit_device(
    config: Config, rule: SampleSizeRule, observation_size: int, num_constraints: int, platform: str
) -> Config:
    """The config with sizes for the kind of device where it has none.

    On an accelerator the time goes to launching kernels and to waiting for the host. So blocks are as few as fit into
    _BLOCK_BYTES, of equal size, a pass has a fixed number of minibatches, and the rollout runs in chunks.

    Args:
      config: static settings.
      rule: the sample-size rule in use, which may compare blocks.
      observation_size: O.
      num_constraints: K.
      platform: JAX's name of the kind of device.

    Raises:
      ValueError: the sample-size rule needs more blocks of samples to estimate a variance from.
    """
    # The steps that are too many are half of a chunk on average: a 64th of the rollout.
    longest = 1 if platform == "cpu" else min(config.base_sample_size // config.num_envs // 32, _LONGEST_CHUNK)
    config = dataclasses.replace(config, rollout_chunk=config.rollout_chunk or max(1, longest))
    sizes: dict[str, Any] = {
        "block_size": CPU_BLOCK_SIZE,
        "critic_minibatch_size": config.critic_samples_per_minibatch,
        "policy_minibatch_size": config.policy_samples_per_minibatch,
    }
    if platform != "cpu":
        sizes = {
            "block_size": _accelerator_block(config, rule, observation_size, num_constraints),
            "critic_minibatch_size": math.ceil(config.base_sample_size / _MINIBATCHES),
            "policy_minibatch_size": math.ceil(config.base_sample_size / _MINIBATCHES),
        }
    config = dataclasses.replace(config, **{name: getattr(config, name) or size for name, size in sizes.items()})
    blocks = -(-config.base_sample_size // (config.steps_per_block * config.num_envs))
    if blocks < rule.min_blocks:
        name = config.sample_size_rule or getattr(rule.size, "__name__", "a rule of your own")
        raise ValueError(
            f"sample_size_rule is {name!r}: it needs {rule.min_blocks} blocks of samples to compare, "
            f"and block_size {config.block_size} makes {blocks} of base_sample_size ({config.base_sample_size})"
        )
    return config


def _accelerator_block(config: Config, rule: SampleSizeRule, observation_size: int, num_constraints: int) -> int:
    """Number of samples of a block on an accelerator, in whole chunks of the rollout."""
    # Inputs, and what the layers of all critics keep for their gradient.
    widest = max(sum(config.policy_hidden_sizes), sum(config.critic_hidden_sizes))
    sample_bytes = 4 * (2 * observation_size + 4 * (1 + num_constraints) * widest)
    chunk = config.num_envs * config.steps_per_chunk  # samples
    chunks = math.ceil(config.max_sample_size / chunk)
    blocks = math.ceil(chunks / max(1, _BLOCK_BYTES // (chunk * sample_bytes)))
    most = math.ceil(chunks / blocks)
    if rule.min_blocks > 1:  # a variance between blocks needs as many as on a CPU
        most = min(most, config.base_sample_size // (chunk * max(rule.min_blocks, _COMPARED_BLOCKS)))
    return max(1, most) * chunk


def shared_blocks(config: Config, lanes: int) -> Config:
    """The config of `fit_device` on an accelerator with blocks so small that vmapped lanes share the memory of one.

    Args:
      config: static settings of one lane, with a block size.
      lanes: number of lanes that are vmapped.
    """
    assert config.block_size is not None
    chunk = config.num_envs * config.steps_per_chunk  # samples
    return dataclasses.replace(config, block_size=max(1, config.block_size // lanes // chunk) * chunk)


def check_minibatches(config: Config, update_rule: UpdateRule, platform: str) -> None:
    """Refuse minibatches so small that a fit on an accelerator would take too many gradient steps in sequence.

    Args:
      config: static settings.
      update_rule: the update rule in use.
      platform: JAX's name of the kind of device.

    Raises:
      ValueError: naming the setting, its value and what would do.
    """
    in_use = {"critic": config.critic_optimizer == "adam", "policy": update_rule.first_order}
    for part in (part for part, used in in_use.items() if used and platform != "cpu"):
        name, passes = f"{part}_minibatch_size", getattr(config, f"{part}_passes")
        size, samples = getattr(config, name), config.base_sample_size
        if (total := passes * math.ceil(samples / size)) > _MOST_MINIBATCHES:
            raise ValueError(
                f"{name} is {size}: {passes} passes over {samples:,} samples would take {total:,} gradient steps one "
                f"after the other, and on a {platform} at most {_MOST_MINIBATCHES:,} are allowed; give a larger one, "
                f"or None for {math.ceil(samples / _MINIBATCHES):,}"
            )


def check_hyperparams(
    config: Config, rule: SampleSizeRule, hyperparams: Hyperparams, num_constraints: int, episode_length: int
) -> None:
    """Refuse hyperparameters, of one run or of several stacked runs, that do not fit the rest of an algorithm.

    Args:
      config: static settings.
      rule: the sample-size rule in use.
      hyperparams: if they are traced, only the number of limits is checked.
      num_constraints: number of costs that the environment reports.
      episode_length: time limit in agent steps.

    Raises:
      ValueError: naming the field, its value and what is allowed.
    """
    if hyperparams.cost_limit.shape[-1] != num_constraints:
        raise ValueError(
            f"cost_limit has {hyperparams.cost_limit.shape[-1]} values: the environment reports {num_constraints} costs"
        )
    if hyperparams.is_traced:
        return
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
      ValueError: naming the number of environments that would be small enough.
    """
    if samples // config.num_envs < episode_length:
        most = samples // episode_length
        remedy = f"at most {most} environments would do" if most else "a larger base_sample_size would do"
        raise ValueError(
            f"num_envs is {config.num_envs}: with reset_each_iteration, an iteration of {samples:,} samples has "
            f"{samples // config.num_envs} time steps, and an episode has {episode_length}; its end would never be "
            f"seen; {remedy}"
        )
