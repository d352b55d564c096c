"""Fresh episodes of the policy of a run: at intervals during training, and at the end."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from espo_jax.algorithms.types import TrainState
from espo_jax.evaluation import DETERMINISTIC, evaluator
from espo_jax.runs import output
from espo_jax.runs.prepare import PreparedRun


class Evaluations:
    """The evaluations of a run; their program is compiled when it is first needed."""

    def __init__(self, run: PreparedRun, key: jax.Array):
        """Compile nothing yet.

        Args:
          run: the run.
          key: key of resets and actions.
        """
        self._run, self._key = run, key
        self._program: Any = None

    def at(self, record: Mapping[str, Any], state: TrainState) -> dict[str, Any] | None:
        """After an iteration: add a line to evaluations.jsonl if one is due.

        Args:
          record: line of metrics.jsonl.
          state: the state after the iteration.

        Returns:
          The evaluation; None if none was due.
        """
        options, iteration = self._run.config.options, record["iteration"]
        if not (options.num_eval_episodes and options.eval_interval and iteration % options.eval_interval == 0):
            return None
        values = self._evaluate(state, DETERMINISTIC, jax.random.fold_in(self._key, iteration))
        self._run.directory.append_evaluation(
            {"iteration": iteration, "env_steps": record["env_steps"], "policy": DETERMINISTIC, **values}
        )
        return values

    def now(self, state: TrainState, policy: str) -> dict[str, Any]:
        """Means and standard deviations over episodes of a policy, one of POLICIES."""
        return self._evaluate(state, policy, self._key)

    def _evaluate(self, state: TrainState, policy: str, key: jax.Array) -> dict[str, Any]:
        algorithm, num_episodes = self._run.algorithm, self._run.config.options.num_eval_episodes
        if self._program is None:
            self._program = jax.jit(
                evaluator(
                    self._run.env,
                    algorithm.make_inference_fn,
                    num_episodes=num_episodes,
                    episode_length=algorithm.config.episode_length,
                    action_repeat=algorithm.config.action_repeat,
                )
            )
        evaluation = jax.device_get(self._program(algorithm.params(state), key, policy == DETERMINISTIC))
        if unusable := [name for name, value in evaluation._asdict().items() if not np.isfinite(value).all()]:
            output.warn(f"evaluation after iteration {int(state.iteration)}: {', '.join(unusable)} is nan or infinite")
        values = {name: value.squeeze().tolist() for name, value in evaluation._asdict().items()}
        return {"episodes": num_episodes, **values}
