"""The loop around an algorithm's step: one compiled program, metrics on the host after every iteration, no file I/O."""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from espo_jax.algorithms.iteration import Algorithm
from espo_jax.algorithms.metrics import NONFINITE_QUANTITIES, Metrics, fetch
from espo_jax.algorithms.types import TrainState
from espo_jax.hyperparams import Hyperparams
from espo_jax.settings import require_int

StepFn = Callable[[TrainState, Hyperparams], tuple[TrainState, Metrics]]


class Budget(NamedTuple):
    """When to stop: after a number of iterations or of samples, whichever comes first. Make it with `create`."""

    num_iterations: int | None
    num_timesteps: int | None

    @classmethod
    def create(cls, num_iterations: int | None, num_timesteps: int | None) -> "Budget":
        """Check the two numbers and make a budget.

        Raises:
          ValueError: neither is given, or one is not positive.
        """
        if num_iterations is None and num_timesteps is None:
            raise ValueError("nothing says when to stop: give num_iterations or num_timesteps")
        for name, value in (("num_iterations", num_iterations), ("num_timesteps", num_timesteps)):
            if value is not None:
                require_int(name, value, "[1, 2^63)")
        return cls(num_iterations, num_timesteps)

    def fraction(self, iteration: int, env_steps: int) -> float:
        """The share of the budget that is used, in [0, 1]."""
        shares = [
            used / limit
            for used, limit in ((iteration, self.num_iterations), (env_steps, self.num_timesteps))
            if limit is not None
        ]
        return min(1.0, max(shares))


class Started(NamedTuple):
    """What `start` returns: the first state, the compiled step, and the seconds that compiling both took."""

    state: TrainState
    step: StepFn
    compile_seconds: float


class Iteration(NamedTuple):
    """A finished iteration: the state after it, its metrics as NumPy arrays, and its wall time in seconds."""

    state: TrainState
    metrics: Metrics
    seconds: float


class IterationError(ArithmeticError):
    """An iteration gave numbers with which training cannot go on.

    Attributes:
      iteration: number of the iteration; 1 is the first.
      state: the state after it.
      lane: index of the run among vmapped runs; None for a single run.
    """

    def __init__(self, iteration: int, message: str, state: TrainState | None, lane: int | None = None):
        """Name the iteration."""
        super().__init__(f"iteration {iteration}: {message}")
        self.iteration = iteration
        self.state = state
        self.lane = lane


class NonFiniteError(IterationError):
    """The physics or the update gave nan or infinity; nothing was learned in that iteration.

    Attributes:
      quantities: which of NONFINITE_QUANTITIES are not finite.
    """

    def __init__(self, iteration: int, quantities: tuple[str, ...], state: TrainState | None, lane: int | None = None):
        """Name the iteration and the quantities."""
        where = f" in {', '.join(quantities)}" if quantities else ""
        super().__init__(iteration, f"nan or infinity{where}", state, lane)
        self.quantities = quantities


class NegativeCostError(IterationError):
    """The environment reported a cost below 0; training would lead towards more of it."""

    def __init__(self, iteration: int, count: int, state: TrainState | None = None, lane: int | None = None):
        """Say what a cost is. A count of 0 stands for one that is not known."""
        some = f"{count:,} costs" if count else "costs"
        super().__init__(
            iteration,
            f'the environment reported {some} below 0 in info["cost"]: a cost is at least 0, more of it is '
            "worse, and its sum over an episode is what cost_limit bounds from above; change the sign of costs that "
            "are reported with a minus sign, as Safety-MuJoCo does",
            state,
            lane,
        )


def check(metrics: Metrics, state: TrainState | None = None) -> None:
    """Raise an error if the metrics of an iteration, on the host, report numbers that cannot be trained on.

    Args:
      metrics: metrics of one run, or of vmapped runs with a leading axis.
      state: the state after the iteration.

    Raises:
      NonFiniteError: nan or infinity.
      NegativeCostError: a cost below 0.
    """
    iterations, nonfinite, negative = (
        np.atleast_1d(x) for x in (metrics.iteration, metrics.nonfinite, metrics.negative_costs)
    )
    for lane, (iteration, bits, count) in enumerate(zip(iterations, nonfinite, negative, strict=True)):
        of_lane = lane if np.ndim(metrics.iteration) else None
        if bits:
            raise nonfinite_error(int(iteration), int(bits), state, of_lane)
        if count:
            raise NegativeCostError(int(iteration), int(count), state, of_lane)


def nonfinite_error(
    iteration: int, nonfinite: int, state: TrainState | None = None, lane: int | None = None
) -> NonFiniteError:
    """The error of an iteration, from its metric `nonfinite`: a bit for each of NONFINITE_QUANTITIES."""
    quantities = tuple(name for i, name in enumerate(NONFINITE_QUANTITIES) if nonfinite >> i & 1)
    return NonFiniteError(iteration, quantities, state, lane)


def start(
    algorithm: Algorithm,
    hyperparams: Hyperparams,
    key: jax.Array,
    state: TrainState | None = None,
    *,
    donate: bool = False,
) -> Started:
    """Initialise, unless there is a state to go on from, and compile the step ahead of time for every iteration.

    Args:
      algorithm: algorithm, perhaps of several runs, see `parallel.over_seeds`.
      hyperparams: hyperparameters that the step is compiled for.
      key: key of the first state.
      state: state to go on from.
      donate: whether the step may reuse the memory of the state that it is given. That state, and normalizer parameters
        taken from it, cannot be used after the step. Do not donate if a state is needed when the next iteration fails.
    """
    begin = time.perf_counter()
    state = jax.jit(algorithm.init)(key, hyperparams) if state is None else algorithm.put(state)
    step = jax.jit(algorithm.step, donate_argnums=0 if donate else ()).lower(state, hyperparams).compile()
    jax.block_until_ready(state)
    return Started(state, step, time.perf_counter() - begin)


def program_bytes(program: Any) -> int:
    """Memory of a compiled program: arguments, results and temporary arrays; what is shared counts once."""
    memory = program.memory_analysis()
    kinds = memory.argument_size_in_bytes, memory.output_size_in_bytes, memory.temp_size_in_bytes
    return sum(kinds) - memory.alias_size_in_bytes


def iterate(step: StepFn, state: TrainState, hyperparams: Hyperparams, budget: Budget) -> Iterator[Iteration]:
    """Run iterations until the budget is used up.

    Args:
      step: compiled step of an algorithm, see `start`; perhaps of several runs, see `parallel.over_seeds`.
      state: state to begin with; the iterations and samples that it counts are part of the budget.
      hyperparams: hyperparameters of every iteration.
      budget: when to stop.

    Yields:
      Iteration, when it is finished.

    Raises:
      IterationError: nan, infinity or a negative cost in an iteration; that iteration is not yielded.
    """
    while budget.fraction(int(np.max(state.iteration)), int(np.max(state.env_steps.to_numpy()))) < 1:
        begin = time.perf_counter()
        state, metrics = jax.block_until_ready(step(state, hyperparams))
        seconds = time.perf_counter() - begin
        measured = fetch(metrics)
        check(measured, state)
        yield Iteration(state, measured, seconds)
