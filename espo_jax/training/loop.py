"""The loop around an algorithm's step: one compiled program, host metrics every iteration, no file I/O."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from espo_jax.algorithms.core import Rule
from espo_jax.algorithms.types import NONFINITE_QUANTITIES, Algorithm, Metrics, TrainState, fetch
from espo_jax.hyperparams import Hyperparams
from espo_jax.presets import resolve
from espo_jax.training.evaluation import evaluator

MakeFn = Callable[..., Algorithm]  # (env, config, sample_size_rule=None)
StepFn = Callable[[TrainState, Hyperparams], tuple[TrainState, Metrics]]
ProgressFn = Callable[[int, dict[str, Any]], None]
PolicyParamsFn = Callable[[int, Callable[..., Callable], tuple[Any, Any, Any]], None]


class Budget(NamedTuple):
    """When to stop: at so many iterations or so many samples, whichever comes first; build it with `create`."""

    num_iterations: int | None
    num_timesteps: int | None

    @classmethod
    def create(cls, num_iterations: int | None, num_timesteps: int | None) -> "Budget":
        """Check the two.

        Raises:
          ValueError: neither is given, or one is not positive.
        """
        if num_iterations is None and num_timesteps is None:
            raise ValueError("nothing says when to stop: give num_iterations or num_timesteps")
        for name, value in (("num_iterations", num_iterations), ("num_timesteps", num_timesteps)):
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}: it must be a positive integer")
        return cls(num_iterations, num_timesteps)

    def fraction(self, iteration: int, env_steps: int) -> float:
        """How much of the budget is used, in [0, 1]."""
        shares = [
            used / limit
            for used, limit in ((iteration, self.num_iterations), (env_steps, self.num_timesteps))
            if limit is not None
        ]
        return min(1.0, max(shares))


class Started(NamedTuple):
    """What `start` made ready: first state, compiled step, seconds spent on compiling both."""

    state: TrainState
    step: StepFn
    compile_seconds: float


class Iteration(NamedTuple):
    """One finished iteration: the state after it, metrics as NumPy arrays, wall seconds without compilation."""

    state: TrainState
    metrics: Metrics
    seconds: float


class IterationError(ArithmeticError):
    """An iteration gave numbers with which training cannot go on.

    Attributes:
      iteration: number of the iteration, 1 is the first.
      state: the state after it.
    """

    def __init__(self, iteration: int, message: str, state: TrainState | None):
        """Names the iteration."""
        super().__init__(f"iteration {iteration}: {message}")
        self.iteration = iteration
        self.state = state


class NonFiniteError(IterationError):
    """The physics or the update gave nan or infinity; nothing was learned in that iteration.

    Attributes:
      quantities: the offenders among NONFINITE_QUANTITIES.
    """

    def __init__(self, iteration: int, quantities: tuple[str, ...], state: TrainState | None):
        """Names iteration and quantities."""
        super().__init__(iteration, f"nan or infinity in {', '.join(quantities)}", state)
        self.quantities = quantities


class NegativeCostError(IterationError):
    """The environment reported a cost below 0, so that training would have led towards more of what is unwanted."""

    def __init__(self, iteration: int, count: int, state: TrainState | None):
        """Says what a cost is."""
        super().__init__(
            iteration,
            f'the environment reported {count:,} costs below 0 in info["cost"]: a cost is at least 0, more of it is '
            "worse, and its sum over an episode is what cost_limit bounds from above; change the sign of costs that "
            "are reported with a minus sign, as Safety-MuJoCo does",
            state,
        )


def check(metrics: Metrics, state: TrainState | None = None) -> None:
    """Refuse to go on after an iteration whose metrics, on the host, report numbers that are no good.

    Raises:
      NonFiniteError: nan or infinity.
      NegativeCostError: a cost below 0.
    """
    iteration = int(metrics.iteration)
    if bits := int(metrics.nonfinite):
        quantities = tuple(name for i, name in enumerate(NONFINITE_QUANTITIES) if bits >> i & 1)
        raise NonFiniteError(iteration, quantities, state)
    if count := int(metrics.negative_costs):
        raise NegativeCostError(iteration, count, state)


class TrainResult(NamedTuple):
    """What Brax's train functions return.

    Args:
      make_inference_fn: (params, deterministic=False) -> policy(obs, key) -> (action, extras).
      params: (normalizer, policy, critics).
      metrics: the last metrics.
    """

    make_inference_fn: Callable[..., Callable]
    params: tuple[Any, Any, Any]
    metrics: dict[str, Any]


def train(
    make: MakeFn,
    environment: Any,
    *,
    num_timesteps: int | None = None,
    num_iterations: int | None = None,
    seed: int = 0,
    sample_size_rule: Rule | None = None,
    progress_fn: ProgressFn = lambda num_steps, metrics: None,
    policy_params_fn: PolicyParamsFn = lambda num_steps, make_inference_fn, params: None,
    num_evals: int = 10,
    num_eval_envs: int = 16,
    deterministic_eval: bool = True,
    **settings: Any,
) -> TrainResult:
    """Train an algorithm on an environment, in the manner of Brax's train functions.

    Metrics are numbers, or arrays [K] with several constraints. Those of eval/ are episode_reward, episode_cost and
    episode_length, each also with _std, of fresh whole episodes; those of training/ are sps (steps per second),
    walltime (seconds of training, compilation excluded) and every field of `algorithms.types.Metrics` for the last
    iteration, such as mode, conflict_angle, sample_size.

    Args:
      make: (env, config) -> Algorithm, such as `espo.make`.
      environment: Brax environment, not vectorised, reporting info["cost"].
      num_timesteps: stop when this many samples are taken; the last iteration is completed.
      num_iterations: stop after this many iterations; at least one of the two is needed.
      seed: of all randomness.
      sample_size_rule: how many samples next: a name, or a function (see `sample_size`); None is the algorithm's own.
      progress_fn: called with (samples so far, metrics) after every evaluation.
      policy_params_fn: called with (samples so far, make_inference_fn, params) beside it, to keep them or to film.
      num_evals: evaluations, evenly spread; the first comes before any training unless it is the only one.
      num_eval_envs: episodes of an evaluation, run side by side.
      deterministic_eval: evaluate the policy's mean instead of sampling.
      **settings: fields of Config and Hyperparams; cost_limit defaults to the environment's own, and the horizon of
        the annealing to the most iterations that the budget allows.

    Returns:
      TrainResult: make_inference_fn, params, metrics.

    Raises:
      ValueError: a setting or the environment is not usable; before any compilation.
      IterationError: nan or infinity (its state then holds the last good parameters), or a negative cost.
    """
    budget = Budget.create(num_iterations, num_timesteps)
    config, hyperparam_values = resolve(settings, environment)
    fewest = config.base_sample_size * (1 + hyperparam_values["zeta_negative"])  # samples of an iteration
    iterations = num_iterations or max(1, math.ceil((num_timesteps or 0) / max(1.0, fewest)))
    hyperparams = Hyperparams.create(**{**hyperparam_values, "num_iterations": iterations}, config=config)
    algorithm = make(environment, config, *([] if sample_size_rule is None else [sample_size_rule]))
    algorithm.check(hyperparams)
    evaluate = jax.jit(
        evaluator(
            environment,
            algorithm.make_inference_fn,
            num_episodes=num_eval_envs,
            episode_length=config.episode_length,
            action_repeat=config.action_repeat,
            deterministic=deterministic_eval,
        )
    )
    train_key, eval_key = jax.random.split(jax.random.key(seed))
    walltime = 0.0
    evals_done = 0
    metrics: dict[str, Any] = {}

    def report(state: TrainState, env_steps: int) -> None:
        nonlocal evals_done
        params = algorithm.params(state)
        evaluation = jax.device_get(evaluate(params, jax.random.fold_in(eval_key, evals_done)))
        for name in ("reward", "cost", "length"):
            metrics[f"eval/episode_{name}"] = plain(getattr(evaluation, name))
            metrics[f"eval/episode_{name}_std"] = plain(getattr(evaluation, f"{name}_std"))
        progress_fn(env_steps, dict(metrics))
        policy_params_fn(env_steps, algorithm.make_inference_fn, params)
        evals_done += 1

    started = start(algorithm, hyperparams, train_key)
    state = started.state
    if num_evals > 1:
        report(state, 0)
    for iteration in iterate(started.step, started.state, hyperparams, budget):
        state = iteration.state
        walltime += iteration.seconds
        metrics |= {f"training/{name}": plain(value) for name, value in iteration.metrics._asdict().items()}
        metrics["training/sps"] = metrics["training/sample_size"] / iteration.seconds
        metrics["training/walltime"] = walltime
        fraction = budget.fraction(metrics["training/iteration"], metrics["training/env_steps"])
        due = num_evals > 1 and fraction * (num_evals - 1) >= evals_done
        if due or (fraction == 1 and num_evals == 1):
            report(state, metrics["training/env_steps"])
    return TrainResult(algorithm.make_inference_fn, algorithm.params(state), metrics)


def start(algorithm: Algorithm, hyperparams: Hyperparams, key: jax.Array, state: TrainState | None = None) -> Started:
    """Initialise, unless there is a state to go on from, and compile the step ahead of time for every iteration."""
    begin = time.perf_counter()
    if state is None:
        state = jax.jit(algorithm.init)(key, hyperparams)
    step = jax.jit(algorithm.step).lower(state, hyperparams).compile()
    jax.block_until_ready(state)
    return Started(state, step, time.perf_counter() - begin)


def iterate(step: StepFn, state: TrainState, hyperparams: Hyperparams, budget: Budget) -> Iterator[Iteration]:
    """Run iterations until the budget is used up.

    Args:
      step: compiled step of an algorithm, see `start`.
      state: where to begin; iterations and samples that it counts already count.
      hyperparams: of every iteration.
      budget: when to stop.

    Yields:
      Iteration, when it is finished.

    Raises:
      IterationError: nan, infinity or a negative cost in an iteration, which is not yielded.
    """
    while budget.fraction(int(state.iteration), int(state.env_steps)) < 1:
        begin = time.perf_counter()
        state, metrics = jax.block_until_ready(step(state, hyperparams))
        seconds = time.perf_counter() - begin
        measured = fetch(metrics)
        check(measured, state)
        yield Iteration(state, measured, seconds)


def plain(value: Any) -> Any:
    """A host array as a Python number if it has one element, else as it is."""
    array = np.asarray(value)
    return array.item() if array.size == 1 else array
