"""What `train` tells its caller on the way: metrics as Brax's train functions name them, and evaluations."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from espo_jax.algorithms.iteration import Algorithm
from espo_jax.algorithms.types import TrainState
from espo_jax.evaluation import evaluator
from espo_jax.loop import Budget, Iteration

ProgressFn = Callable[[int, dict[str, Any]], None]
PolicyParamsFn = Callable[[int, Callable[..., Callable], tuple[Any, Any, Any]], None]


@dataclasses.dataclass
class Reports:
    """The metrics of a training, and whom they are told.

    Attributes:
      algorithm: the algorithm.
      progress_fn: called with (samples so far, metrics) after every evaluation.
      policy_params_fn: called with (samples so far, make_inference_fn, params) after every evaluation.
      metrics: the newest metrics; training/ and eval/ stand before their names.
      walltime: seconds of all iterations.
    """

    algorithm: Algorithm
    progress_fn: ProgressFn
    policy_params_fn: PolicyParamsFn
    metrics: dict[str, Any] = dataclasses.field(default_factory=dict)
    walltime: float = 0.0

    def trained(self, finished: Iteration, evaluation: Mapping[str, Any] | None = None) -> None:
        """Take in the metrics of an iteration, and the evaluation after it if there was one."""
        self.walltime += finished.seconds
        latest = {name: _plain(value) for name, value in finished.metrics._asdict().items()}
        latest |= {"sps": latest["sample_size"] / finished.seconds, "walltime": self.walltime}
        self.metrics |= {f"training/{name}": value for name, value in latest.items()}
        if evaluation:
            self.evaluated(evaluation, finished.state)

    def evaluated(self, evaluation: Mapping[str, Any], state: TrainState) -> None:
        """Take in an evaluation (the fields of `Evaluation`), and call the caller's functions."""
        for field in ("reward", "cost", "length"):
            for name in (field, f"{field}_std"):
                self.metrics[f"eval/episode_{name}"] = _plain(evaluation[name])
        env_steps = int(state.env_steps)
        self.progress_fn(env_steps, dict(self.metrics))
        self.policy_params_fn(env_steps, self.algorithm.make_inference_fn, self.algorithm.params(state))


class Evenly(Reports):
    """Reports of evaluations that are evenly spread over a training.

    Attributes:
      key: key of their resets and actions.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        environment: Any,
        num_evals: int,
        num_episodes: int,
        deterministic: bool,
        progress_fn: ProgressFn,
        policy_params_fn: PolicyParamsFn,
    ):
        """Compile nothing yet.

        Args:
          algorithm: the algorithm.
          environment: one instance of its environment, not vectorised.
          num_evals: number of evaluations; the first one is before any training unless it is the only one.
          num_episodes: number of episodes of each.
          deterministic: whether they act by the policy's mean instead of sampling.
          progress_fn, policy_params_fn: as for `Reports`.
        """
        super().__init__(algorithm, progress_fn, policy_params_fn)
        self.key = jax.random.key(0)
        self._num_evals, self._deterministic, self._done = num_evals, deterministic, 0
        self._evaluate = jax.jit(
            evaluator(
                environment,
                algorithm.make_inference_fn,
                num_episodes=num_episodes,
                episode_length=algorithm.config.episode_length,
                action_repeat=algorithm.config.action_repeat,
            )
        )

    def before(self, state: TrainState) -> None:
        """Evaluate the first state, if there is more than one evaluation."""
        if self._num_evals > 1:
            self._report(state)

    def after(self, finished: Iteration, budget: Budget) -> None:
        """Take in the metrics of an iteration, and evaluate if that is due."""
        self.trained(finished)
        fraction = budget.fraction(self.metrics["training/iteration"], self.metrics["training/env_steps"])
        due = self._num_evals > 1 and fraction * (self._num_evals - 1) >= self._done
        if due or (fraction == 1 and self._num_evals == 1):
            self._report(finished.state)

    def _report(self, state: TrainState) -> None:
        params = self.algorithm.params(state)
        evaluation = jax.device_get(
            self._evaluate(params, jax.random.fold_in(self.key, self._done), self._deterministic)
        )
        self._done += 1
        self.evaluated(evaluation._asdict(), state)


def _plain(value: Any) -> Any:
    """A host array as a Python number if it has one element, else as it is."""
    array = np.asarray(value)
    return array.item() if array.size == 1 else array
