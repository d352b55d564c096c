"""Runs with the fresh episodes of their policies: the safety of a group of them, as means over its runs."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from espo_jax.evaluation import POLICIES, Episodes
from espo_jax.results.groups import differences, text_of
from espo_jax.results.read import Records
from espo_jax.results.safety_measures import normalized_reward, of_policy, of_training
from espo_jax.results.statistics import interquartile_mean, stratified_interval, summarize
from espo_jax.runs.output import clean
from espo_jax.runs.run_config import RunConfig

UNCONSTRAINED = "trpo"  # the algorithm whose reward the others are a share of, if it is among them
References = Mapping[tuple[str, str], float]  # (task, policy) -> reward of an unconstrained policy


class EvaluatedRun(NamedTuple):
    """A run and fresh episodes of its policy.

    Args:
      name: name of the run.
      config: its settings.
      records: lines of its metrics.jsonl.
      episodes: by policy; empty for a run without fresh episodes.
      time_limit: time limit of an episode, in control steps.
    """

    name: str
    config: RunConfig
    records: Records
    episodes: Mapping[str, Episodes]
    time_limit: int

    @property
    def limit(self) -> np.ndarray:
        """b [K]."""
        return np.atleast_1d(np.asarray(self.config.hyperparams["cost_limit"], float))

    @property
    def condition(self) -> tuple[Any, ...]:
        """Task, its options, physics, reward and limit: runs that differ in these are not drawn from one sample."""
        return (*self.config.options.environment, *self.limit.tolist())


def references_of(runs: Sequence[EvaluatedRun]) -> dict[tuple[str, str], float]:
    """Mean rewards of unconstrained runs, by task and policy."""
    found: dict[tuple[str, str], list[float]] = {}
    for run in runs:
        for policy, episodes in run.episodes.items():
            found.setdefault((run.config.options.task, policy), []).append(float(np.mean(episodes.reward)))
    return {key: float(np.mean(values)) for key, values in found.items()}


def by_algorithm(runs: Sequence[EvaluatedRun]) -> dict[str, list[EvaluatedRun]]:
    """The runs by algorithm, and by the settings in which runs of an algorithm differ under one condition.

    Only runs that differ in nothing but seed, task, physics, reward and limit have the same name.
    """
    fields: dict[str, dict[str, None]] = {}
    for run in runs:
        algorithm = run.config.options.algorithm
        alike = [r for r in runs if r.config.options.algorithm == algorithm and r.condition == run.condition]
        fields.setdefault(algorithm, {}).update(dict.fromkeys(differences(alike)))
    found: dict[str, list[EvaluatedRun]] = {}
    for run in runs:
        known = {**dataclasses.asdict(run.config.options), **run.config.settings()}
        algorithm = run.config.options.algorithm
        name = ", ".join([algorithm, *(f"{field} {text_of(known[field])}" for field in fields[algorithm])])
        found.setdefault(clean(name), []).append(run)
    return found


def summarize_safety(runs: Sequence[EvaluatedRun], unconstrained: References | None = None) -> dict[str, Any]:
    """The safety of some runs of one algorithm, see `espo_jax.results.safety_measures`, as `aggregate` has it.

    Args:
      runs: the runs.
      unconstrained: rewards of an unconstrained algorithm; without one no reward is normalised.

    Returns:
      training: measures of training, None if a run has no records. recovery_iterations and recovery_samples are of
      the runs that recovered at least once, and not_recovered is the number of runs that ended above a limit.
      policies: for each policy its measures, reward and normalized_reward, which is None if one of its runs has none.
    """
    conditions = [run.condition for run in runs]
    policies = {
        policy: _of_policy(policy, runs, conditions, unconstrained or {})
        for policy in POLICIES
        if all(policy in run.episodes for run in runs)
    }
    training = summarize_training([run.records for run in runs], conditions) if all(r.records for r in runs) else None
    return {"training": training, "policies": policies}


def summarize_training(runs: Sequence[Records], conditions: Sequence[Any] | None = None) -> dict[str, Any]:
    """The safety of the training of some runs, see `summarize_safety`.

    Args:
      runs: lines of the metrics.jsonl of each run.
      conditions: of each run what its sample is; None stands for the same for all.
    """
    conditions = conditions or [None] * len(runs)
    trained = [of_training(records) for records in runs]
    recovered = [(c, each["recoveries"]) for c, each in zip(conditions, trained, strict=True)]
    training = {
        name: aggregate([each[name] for each in trained], conditions)
        for name in ("cost_rate", "cumulative_violation", "violating_iterations")
    }
    for name in ("iterations", "samples"):
        having = [(c, each[name]) for c, each in recovered if each["number"]]
        training[f"recovery_{name}"] = aggregate([value for _, value in having], [c for c, _ in having])
    training["not_recovered"] = sum(each["is_above"] for _, each in recovered)
    return training


def _of_policy(
    policy: str, runs: Sequence[EvaluatedRun], conditions: Sequence[Any], unconstrained: References
) -> dict[str, Any]:
    """The measures of one kind of policy, reward and normalised reward."""
    measured = [of_policy(run.episodes[policy], run.limit, run.time_limit) for run in runs]
    rewards = [float(np.mean(run.episodes[policy].reward)) for run in runs]
    found = {name: aggregate([each[name] for each in measured], conditions) for name in measured[0]}
    shares = [
        normalized_reward(reward, unconstrained.get((run.config.options.task, policy), 0.0))
        for reward, run in zip(rewards, runs, strict=True)
    ]
    return {
        "episodes": sum(len(run.episodes[policy].reward) for run in runs),
        "reward": aggregate(rewards, conditions),
        "normalized_reward": aggregate(shares, conditions),
        **found,
    }


def aggregate(values: Sequence[Any], conditions: Sequence[Any]) -> Any:
    """Mean and interquartile mean of a measure over runs, with stratified bootstrap intervals of both.

    Args:
      values: of each run a number, a list of one for each constraint, or None.
      conditions: of each run what its sample is, such as its task; runs are resampled within the same.

    Returns:
      The fields of Summary, iqm, iqm_low and iqm_high; a list of these for lists; None if a value is None, or if
      there is none.
    """
    if not values or any(value is None for value in values):
        return None
    if isinstance(values[0], list):
        if len({len(value) for value in values}) > 1:
            return None
        return [aggregate(column, conditions) for column in zip(*values, strict=True)]
    numbers = np.asarray(values, float)
    strata = [numbers[[condition == each for condition in conditions]] for each in dict.fromkeys(conditions)]
    low, high = stratified_interval(strata)
    iqm_low, iqm_high = stratified_interval(strata, interquartile_mean)
    return {
        **summarize(numbers)._asdict(),
        "low": float(low),
        "high": float(high),
        "iqm": float(interquartile_mean(numbers)),
        "iqm_low": float(iqm_low),
        "iqm_high": float(iqm_high),
    }
