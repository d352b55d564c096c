"""Many runs as one program, and the output policy of a run."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tabular import algorithm
from tabular.algorithm import Record, Settings
from tabular.cmdp import CMDP


class Output(NamedTuple):
    """The output policy of Theorem 4.1, which is drawn among the iterates.

    Args:
      gap: [N] V_r of the optimum minus the mean V_r of the output policy; negative where it is above the optimum.
      violation: [N] mean V_c of the output policy minus b.
      share: [N] sum of the weights, divided by T.
    """

    gap: np.ndarray
    violation: np.ndarray
    share: np.ndarray

    @property
    def error(self) -> np.ndarray:
        """[N] the larger one of gap, violation and 0."""
        return np.maximum(np.maximum(self.gap, self.violation), 0.0)


def run_all(
    cmdps: CMDP, settings: Settings, logits: np.ndarray | None = None, *, seed: int = 0, **static: Any
) -> Record:
    """A run for each of N stacked CMDPs.

    Args:
      cmdps: [N, ...].
      settings: each field [N] or a number.
      logits: [N, S, A] at the start; None for uniform policies.
      seed: seed of the samples.
      **static: keywords of `algorithm.run`.

    Returns:
      Record of NumPy arrays, [N, T, ...].
    """
    return jax.tree.map(np.asarray, _program(algorithm.run, **static)(*_arguments(cmdps, settings, logits, seed)))


def outputs(
    cmdps: CMDP, settings: Settings, best: np.ndarray, num_iterations: int, *, seed: int = 0, **static: Any
) -> Output:
    """The output policies of N runs from uniform policies, in memory that does not grow with T.

    Args:
      cmdps: [N, ...].
      settings: each field [N] or a number.
      best: [N] V_r of the optimum.
      num_iterations: T; another T does not compile again.
      seed: seed of the samples.
      **static: keywords of `algorithm.run_totals`.
    """
    program = _program(algorithm.run_totals, in_axes=(0, 0, 0, 0, None), **static)
    totals = jax.tree.map(np.asarray, program(*_arguments(cmdps, settings, None, seed), num_iterations))
    return _output(totals.weight, totals.value, best, cmdps.limit, num_iterations)


def running_output(record: Record, best: np.ndarray, limit: np.ndarray) -> Output:
    """The output policy after each iteration, [N, T]; gap and violation are infinite while no iterate has any weight.

    Args:
      record: [N, T, ...].
      best: [N] V_r of the optimum.
      limit: [N] b.
    """
    sums = np.cumsum(record.weight[..., None] * record.value, axis=1)
    counts = np.arange(1, record.weight.shape[1] + 1)
    return _output(np.cumsum(record.weight, axis=1), sums, best[:, None], limit[:, None], counts)


def _output(total: np.ndarray, sums: np.ndarray, best, limit, count) -> Output:
    some = total > 0
    mean = sums / np.where(some, total, 1.0)[..., None]
    gap, violation = best - mean[..., 0], mean[..., 1] - limit
    return Output(np.where(some, gap, np.inf), np.where(some, violation, np.inf), total / count)


def _arguments(cmdps: CMDP, settings: Settings, logits: np.ndarray | None, seed: int) -> tuple:
    count = len(cmdps.limit)
    fields = Settings(*(jnp.broadcast_to(jnp.asarray(field), (count,)) for field in settings))
    start = jnp.zeros(cmdps.reward.shape) if logits is None else jnp.asarray(logits)
    return cmdps, fields, start, jax.random.split(jax.random.key(seed), count)


@functools.cache
def _program(run: Callable, in_axes: Any = 0, **static: Any) -> Callable:
    return jax.jit(jax.vmap(functools.partial(run, **static), in_axes=in_axes))
