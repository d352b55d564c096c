"""`make` and `train` of every algorithm: `Trainer`, from an update rule."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from espo_jax.algorithms import iteration
from espo_jax.algorithms.checks import Rule
from espo_jax.algorithms.iteration import Algorithm
from espo_jax.algorithms.types import TrainState, UpdateRule
from espo_jax.config import Config
from espo_jax.evaluation import evaluator
from espo_jax.hyperparams import Hyperparams
from espo_jax.loop import Budget, Iteration, iterate, start
from espo_jax.parallel import over_devices
from espo_jax.presets import resolve

ProgressFn = Callable[[int, dict[str, Any]], None]
PolicyParamsFn = Callable[[int, Callable[..., Callable], tuple[Any, Any, Any]], None]


class TrainResult(NamedTuple):
    """What Brax's train functions return.

    Args:
      make_inference_fn: (params, deterministic=False) -> policy(obs, key) -> (action, extras).
      params: (normalizer, policy, critics).
      metrics: the last metrics: numbers, or arrays [K] with several constraints. Those of eval/ are episode_reward,
        episode_cost and episode_length, each also with _std, of fresh whole episodes. Those of training/ are sps (steps
        per second), walltime (seconds of training without compilation) and every field of `algorithms.metrics.Metrics`
        for the last iteration, such as mode, conflict_angle, sample_size.
    """

    make_inference_fn: Callable[..., Callable]
    params: tuple[Any, Any, Any]
    metrics: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Trainer:
    """An algorithm that is ready to use: `espo_jax.espo`, `espo_jax.crpo` and so on, or one of your own.

    Attributes:
      rule: the update rule: which direction the algorithm takes.
    """

    rule: UpdateRule

    def make(self, env: Any, config: Config | None = None, sample_size_rule: Rule | None = None) -> Algorithm:
        """The algorithm on an environment: Algorithm(init, step).

        Args:
          env: environment with Brax's reset and step, reporting info["cost"] (`safety_envs.make`, or any through
            `safety_envs.SafetyWrapper`).
          config: static settings.
          sample_size_rule: how many samples are taken next, a name or a function from `sample_size.Evidence` to a
            size; None stands for the rule that the config names.

        Raises:
          ValueError: the environment reports no cost, or has no episode length of its own and config none; or a setting
            makes no sense for the environment or the algorithm.
        """
        return iteration.make(env, config or Config(), self.rule, sample_size_rule)

    def train(
        self,
        environment: Any,
        *,
        num_timesteps: int | None = None,
        num_iterations: int | None = None,
        seed: int = 0,
        devices: int = 1,
        sample_size_rule: Rule | None = None,
        progress_fn: ProgressFn = lambda num_steps, metrics: None,
        policy_params_fn: PolicyParamsFn = lambda num_steps, make_inference_fn, params: None,
        num_evals: int = 10,
        num_eval_envs: int = 16,
        deterministic_eval: bool = True,
        **settings: Any,
    ) -> TrainResult:
        """Train on an environment, in the manner of Brax's train functions.

        Args:
          environment: as for `make`, with an episode_length and a cost_limit of its own unless settings give them.
          num_timesteps: stop when this many samples are taken; the last iteration is completed.
          num_iterations: stop after this many iterations; at least one of the two is needed.
          seed: seed of all randomness.
          devices: number of devices of this machine that the environments are spread over.
          sample_size_rule: as for `make`.
          progress_fn: called with (samples so far, metrics) after every evaluation.
          policy_params_fn: called with (samples so far, make_inference_fn, params) after every evaluation.
          num_evals: number of evaluations, evenly spread; the first one comes before any training unless it is the
            only one.
          num_eval_envs: number of episodes of an evaluation, which run side by side.
          deterministic_eval: whether evaluations act by the policy's mean instead of sampling.
          **settings: fields of Config and Hyperparams; cost_limit defaults to the environment's own, and the horizon
            of the annealing to the largest number of iterations that the budget allows. `presets.preset("paper", task)`
            has the paper's settings for a task.

        Returns:
          TrainResult: make_inference_fn, params, metrics.

        Raises:
          ValueError: a setting or the environment is not usable; before any compilation.
          IterationError: nan or infinity (its state then holds the last good parameters), or a negative cost.
        """
        budget = Budget.create(num_iterations, num_timesteps)
        config, values = resolve(settings, environment)
        values["num_iterations"] = _horizon(budget, config, values)
        hyperparams = Hyperparams.create(**values, config=config)
        algorithm = over_devices(self.make(environment, config, sample_size_rule), devices)
        algorithm.check(hyperparams)
        train_key, eval_key = jax.random.split(jax.random.key(seed))
        evaluate = _evaluate_fn(algorithm, environment, num_eval_envs, deterministic_eval)
        reports = _Reports(algorithm, evaluate, eval_key, num_evals, progress_fn, policy_params_fn)
        started = start(algorithm, hyperparams, train_key)
        state = started.state
        if num_evals > 1:
            reports.report(state, 0)
        for finished in iterate(started.step, state, hyperparams, budget):
            state = finished.state
            reports.after(finished, budget)
        return TrainResult(algorithm.make_inference_fn, algorithm.params(state), reports.metrics)


def _evaluate_fn(algorithm: Algorithm, environment: Any, num_episodes: int, deterministic: bool) -> Callable:
    """(params, key) -> Evaluation, compiled when it is first called."""
    return jax.jit(
        evaluator(
            environment,
            algorithm.make_inference_fn,
            num_episodes=num_episodes,
            episode_length=algorithm.config.episode_length,
            action_repeat=algorithm.config.action_repeat,
            deterministic=deterministic,
        )
    )


def _horizon(budget: Budget, config: Config, values: dict[str, Any]) -> int:
    """The largest number of iterations that a budget allows, if all are as small as zeta_negative makes them."""
    if budget.num_iterations:
        return budget.num_iterations
    fewest = config.base_sample_size * (1 + values["zeta_negative"])
    return max(1, math.ceil((budget.num_timesteps or 0) / max(1.0, fewest)))


@dataclasses.dataclass
class _Reports:
    """The metrics of a training, and its evaluations."""

    algorithm: Algorithm
    evaluate: Callable[..., Any]
    key: jax.Array
    num_evals: int
    progress_fn: ProgressFn
    policy_params_fn: PolicyParamsFn
    metrics: dict[str, Any] = dataclasses.field(default_factory=dict)
    evals_done: int = 0
    walltime: float = 0.0

    def report(self, state: TrainState, env_steps: int) -> None:
        """Evaluate, and call the user's functions."""
        params = self.algorithm.params(state)
        evaluation = jax.device_get(self.evaluate(params, jax.random.fold_in(self.key, self.evals_done)))
        for name in ("reward", "cost", "length"):
            self.metrics[f"eval/episode_{name}"] = _plain(getattr(evaluation, name))
            self.metrics[f"eval/episode_{name}_std"] = _plain(getattr(evaluation, f"{name}_std"))
        self.progress_fn(env_steps, dict(self.metrics))
        self.policy_params_fn(env_steps, self.algorithm.make_inference_fn, params)
        self.evals_done += 1

    def after(self, finished: Iteration, budget: Budget) -> None:
        """Take in the metrics of an iteration, and report if an evaluation is due."""
        self.walltime += finished.seconds
        latest = {name: _plain(value) for name, value in finished.metrics._asdict().items()}
        latest |= {"sps": latest["sample_size"] / finished.seconds, "walltime": self.walltime}
        self.metrics |= {f"training/{name}": value for name, value in latest.items()}
        fraction = budget.fraction(latest["iteration"], latest["env_steps"])
        due = self.num_evals > 1 and fraction * (self.num_evals - 1) >= self.evals_done
        if due or (fraction == 1 and self.num_evals == 1):
            self.report(finished.state, latest["env_steps"])


def _plain(value: Any) -> Any:
    """A host array as a Python number if it has one element, else as it is."""
    array = np.asarray(value)
    return array.item() if array.size == 1 else array
