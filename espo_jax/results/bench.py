"""Steps per second of a task, with and without a policy, and of whole training: what `espo bench` measures."""

import dataclasses
import resource
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from espo_jax import algorithms, presets
from espo_jax.algorithms.batch import whiten
from espo_jax.algorithms.iteration import Algorithm, roll_out
from espo_jax.environments import named_env
from espo_jax.hyperparams import Hyperparams
from espo_jax.loop import program_bytes
from espo_jax.settings import check_settings, documented, require_int, setting

STEPPING, WITH_POLICY, TRAINING = "stepping", "stepping and policy", "training"
_STEPS = 16  # of every environment at least, in what is timed


@documented
@dataclasses.dataclass(frozen=True)
class BenchOptions:
    """What to measure."""

    task: str = setting(
        "safety_reacher", "task: one of `espo tasks`, or module:function of your own code that makes an environment"
    )
    env: tuple[str, ...] = setting((), "option of the task, name=value, such as goal_velocity=1.0", repeated=True)
    backend: str | None = setting(
        None,
        "physics of the task, see `espo tasks`",
        none="mujoco on a CPU, exact physics that run there on an accelerator",
    )
    num_envs: str = setting("64,1024", "numbers of environments that are stepped in parallel, separated by commas")
    algorithms: str = setting("espo", "algorithms to train, separated by commas")
    samples: int | None = setting(
        None, "number of samples of an iteration", none="the paper's X for the task, or 16 steps of every environment"
    )
    repeats: int = setting(5, "number of timed runs of each program, of which the median counts", range="[1, 10000]")
    warm_iterations: int = setting(3, "number of iterations of training before it is timed", range="[0, 10000]")
    json: str | None = setting(None, "file to write all figures to", none="none")
    plot: str | None = setting(
        None, "picture to write, of steps per second against the number of environments", none="none"
    )

    def __post_init__(self) -> None:
        """Check every field."""
        check_settings(self)
        for name in self.names:
            algorithms.require_known(name, "algorithms")
        if not self.widths:
            raise ValueError("num_envs is empty: it must have one number of environments or more")
        for width in self.widths:
            require_int("num_envs", width, "[1, 2^31)")
            if self.samples is not None and self.samples < width:
                raise ValueError(f"samples is {self.samples}: it must be at least num_envs ({width})")

    @property
    def names(self) -> list[str]:
        """Names of the algorithms."""
        return [name.strip() for name in self.algorithms.split(",")]

    @property
    def widths(self) -> list[int]:
        """Numbers of environments."""
        try:
            return [int(number) for number in self.num_envs.split(",") if number.strip()]
        except ValueError:
            raise ValueError(f"num_envs is {self.num_envs!r}: it must be integers, separated by commas") from None

    def samples_of(self, width: int) -> int:
        """Number of samples of what is timed with so many environments."""
        published = presets.preset(presets.PAPER, self.task)["base_sample_size"]
        return self.samples or max(-(-published // width), _STEPS) * width


class Figures(NamedTuple):
    """What was measured of one program.

    Args:
      part: STEPPING is the environments alone, under random actions, with resets; WITH_POLICY is the rollout;
        TRAINING is whole iterations.
      algorithm: name of the algorithm that trains; None for the other parts.
      num_envs: number of environments.
      samples: number of environment steps of a run of the program.
      seconds: durations of the runs.
      compile_seconds: time to trace and compile the program.
      program_bytes: memory of the program: arguments, results and temporary arrays.
      peak_bytes: peak memory so far, of the accelerator if it tells, else of the process.
    """

    part: str
    algorithm: str | None
    num_envs: int
    samples: int
    seconds: list[float]
    compile_seconds: float
    program_bytes: int
    peak_bytes: int

    @property
    def samples_per_second(self) -> float:
        """The median over the runs."""
        return self.samples / float(np.median(self.seconds))


def measure(options: BenchOptions, env: Any = None) -> Iterator[Figures]:
    """Measure part after part; nothing is compiled before the first one is asked for.

    Args:
      options: what to measure.
      env: environment to use in place of the named task.
    """
    if env is None:
        env = named_env(options.task, options.backend, env=options.env)
    for width in options.widths:
        made = {name: make(env, options.task, name, num_envs=width, base_sample_size=options.samples_of(width))
                for name in options.names}  # fmt: skip
        samples = jnp.int32(options.samples_of(width))
        algorithm, hyperparams = next(iter(made.values()))
        state = jax.jit(algorithm.init)(jax.random.key(0), hyperparams)
        for part, fn in ((STEPPING, stepping_fn(algorithm)), (WITH_POLICY, rollout_fn(algorithm))):
            yield _figures(part, None, width, int(samples), fn, (state, samples), options.repeats)
        for name, (algorithm, hyperparams) in made.items():
            state = jax.jit(algorithm.init)(jax.random.key(0), hyperparams)
            yield _figures(
                TRAINING, name, width, int(samples), training_fn(algorithm), (state, samples, hyperparams),
                options.repeats, options.warm_iterations,
            )  # fmt: skip


def make(env: Any, task: str, algorithm: str = "espo", **settings: Any) -> tuple[Algorithm, Hyperparams]:
    """Algorithm and hyperparameters of the paper's settings for a task, with some changes.

    On an accelerator, minibatches have the size for it: the published ones are too small for wide runs.
    """
    if jax.default_backend() != "cpu":
        settings = {"critic_minibatch_size": None, "policy_minibatch_size": None, **settings}
    config, values = presets.resolve({**presets.preset(presets.PAPER, task, algorithm), **settings}, env)
    return algorithms.make(algorithm, env, config), Hyperparams.create(**values, config=config)


def stepping_fn(algorithm: Algorithm) -> Callable[..., Any]:
    """(state, samples) -> the environments after so many steps, all together, under random actions."""
    env = algorithm.env

    def run(state: Any, samples: jax.Array) -> Any:
        def step(index: jax.Array, env_state: Any) -> Any:
            shape = (algorithm.config.num_envs, env.action_size)
            action = jax.random.uniform(jax.random.fold_in(state.key, index), shape, minval=-1.0, maxval=1.0)
            return env.step(env_state, action)

        return jax.lax.fori_loop(0, samples // algorithm.config.num_envs, step, state.env_state)

    return run


def rollout_fn(algorithm: Algorithm) -> Callable[..., Any]:
    """(state, samples) -> the environments' state after the rollout, and the rollout, with the state's policy."""
    config = algorithm.config

    def run(state: Any, samples: jax.Array) -> Any:
        networks = algorithm.networks._replace(whiten=partial(whiten, config, state.normalizer))
        state = dataclasses.replace(state, sample_size=samples)
        return roll_out(algorithm.env, config, networks, state, state.env_state, state.key)

    return run


def training_fn(algorithm: Algorithm) -> Callable[..., Any]:
    """(state, samples, hyperparams) -> one iteration with so many samples."""

    def run(state: Any, samples: jax.Array, hyperparams: Hyperparams) -> Any:
        return algorithm.step(dataclasses.replace(state, sample_size=samples), hyperparams)

    return run


def _figures(
    part: str, name: str | None, width: int, samples: int, fn: Callable, args: tuple, repeats: int, warm: int = 1
) -> Figures:
    begin = time.perf_counter()
    program = jax.jit(fn).lower(*args).compile()
    compile_seconds = time.perf_counter() - begin
    for _ in range(max(warm, 1)):
        result = jax.block_until_ready(program(*args))
        if part == TRAINING and warm:
            args = (result[0], *args[1:])  # later iterations are what a training consists of
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        jax.block_until_ready(program(*args))
        seconds.append(time.perf_counter() - begin)
    return Figures(part, name, width, samples, seconds, compile_seconds, program_bytes(program), peak_bytes())


def peak_bytes() -> int:
    """Peak memory so far: of the accelerator where it reports one, else of this process."""
    stats = jax.devices()[0].memory_stats() or {}
    return stats.get("peak_bytes_in_use", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
