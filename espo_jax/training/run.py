"""One run from checked settings to a full run directory."""

import contextlib
import dataclasses
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
from rich.console import Console, Group
from rich.table import Table

from espo_jax.algorithms.types import Algorithm, TrainState
from espo_jax.hyperparams import Hyperparams
from espo_jax.presets import resolve
from espo_jax.training import plots, run_directory
from espo_jax.training.evaluation import evaluator
from espo_jax.training.loop import Budget, MakeFn, NonFiniteError, iterate, start
from espo_jax.training.progress import clock_time, number, progress
from espo_jax.training.run_directory import RunDirectory

FINISHED, INTERRUPTED, NONFINITE = "finished", "interrupted", "nonfinite"


@dataclasses.dataclass(frozen=True)
class Job:
    """A run that is checked and has its folder, but has compiled nothing; `prepare` makes it."""

    env: Any
    algorithm: Algorithm
    hyperparams: Hyperparams
    budget: Budget
    seed: int
    num_eval_episodes: int
    title: str
    directory: RunDirectory


def prepare(
    env: Any,
    make: MakeFn,
    settings: Mapping[str, Any],
    *,
    task: str,
    algorithm: str,
    seed: int = 0,
    num_timesteps: int | None = None,
    num_eval_episodes: int = 20,
    run_dir: str | Path | None = None,
    origin: Mapping[str, Any] | None = None,
) -> Job:
    """Check everything that can be checked without compiling, then create the run directory and its config.json.

    Args:
      env: one instance of the environment.
      make: (env, config) -> Algorithm.
      settings: flat fields of Config and Hyperparams; num_iterations is also how many to run.
      task: name of the environment.
      algorithm: name of the algorithm.
      seed: of all randomness, in [0, 2^31).
      num_timesteps: stop earlier, when this many samples are taken.
      num_eval_episodes: episodes of the final evaluation; 0 leaves it out.
      run_dir: folder to create; None is runs/<task>-<algorithm>-seed<seed>-<time>.
      origin: more for config.json, such as backend and preset.

    Raises:
      ValueError: a setting or the environment is not usable.
      OSError: the run directory exists, or cannot be written to.
    """
    if not 0 <= seed < 2**31:
        raise ValueError(f"seed is {seed}: it must lie in [0, 2^31)")
    if num_eval_episodes < 0:
        raise ValueError(f"num_eval_episodes is {num_eval_episodes}: it must be 0 or more")
    config, values = resolve(settings, env)
    budget = Budget.create(int(values["num_iterations"]), num_timesteps)
    hyperparams = Hyperparams.create(**values, config=config)
    built = make(env, config)
    # Tracing finds what is wrong between environment and settings, such as the number of limits.
    jax.eval_shape(built.init, jax.random.key(0), hyperparams)

    path = run_directory.default_path(task, algorithm, seed) if run_dir is None else run_dir
    directory = RunDirectory(path)
    directory.write_json(
        "config.json",
        {
            "task": task,
            "algorithm": algorithm,
            **(origin or {}),
            "seed": seed,
            "num_timesteps": num_timesteps,
            "num_eval_episodes": num_eval_episodes,
            "config": dataclasses.asdict(built.config),
            "hyperparams": values,
            **run_directory.surroundings(),
        },
    )
    title = f"{algorithm} on {task}, seed {seed}"
    return Job(env, built, hyperparams, budget, seed, num_eval_episodes, title, directory)


def execute(job: Job, console: Console) -> dict[str, Any]:
    """Train, and leave metrics.jsonl, policy.npz, curves.png and result.json behind, however it ends.

    Ctrl-C finishes the iteration and stops; nan or infinity stops; both keep what was there before.

    Args:
      job: from `prepare`.
      console: shows the progress and, when training finished, the summary.

    Returns:
      What result.json holds: status ("finished", "interrupted" or "nonfinite"), message, iterations, env_steps,
      fixed_env_steps (what fixed X would have used), training (reward, cost, ...), evaluation (the same of fresh
      episodes, by stochastic and deterministic policy), cost_limit,
      limit_met by each of the three, seconds and compile_seconds.
    """
    train_key, eval_key = jax.random.split(jax.random.key(job.seed))
    directory = job.directory
    status, message = FINISHED, ""
    state: TrainState | None = None
    compile_seconds = 0.0
    console.print(f"{job.title}: compiling; run directory {directory.path}", highlight=False, soft_wrap=True)
    if (warmup := float(job.hyperparams.warmup_iterations)) >= float(job.hyperparams.num_iterations):
        console.print(f"note: all iterations are warm-up (warmup_iterations is {warmup:g}); the limit will not count")
    begin = time.perf_counter()
    with finish_on_interrupt() as interrupted:
        try:
            started = start(job.algorithm, job.hyperparams, train_key)
            state, compile_seconds = started.state, started.compile_seconds
            with progress(console, job.budget) as display:
                for iteration in iterate(started.step, started.state, job.hyperparams, job.budget):
                    state = iteration.state
                    directory.append(run_directory.record(iteration.metrics, iteration.seconds))
                    display.update(directory.records[-1])
                    if interrupted.is_set():
                        raise KeyboardInterrupt
        except KeyboardInterrupt:
            status, message = INTERRUPTED, f"interrupted after iteration {len(directory.records)}"
        except NonFiniteError as error:
            status, message, state = NONFINITE, str(error), error.state
    result: dict[str, Any] = {
        "status": status,
        "message": message,
        "iterations": len(directory.records),
        "seconds": time.perf_counter() - begin - compile_seconds,
        "compile_seconds": compile_seconds,
    }
    if state is not None:
        directory.save_params(job.algorithm.params(state))
    if directory.records:
        base_sample_size = job.algorithm.config.base_sample_size
        plots.curves(
            directory.records, directory.path / "curves.png", base_sample_size=base_sample_size, title=job.title
        )
        result |= _training_result(directory.records, base_sample_size)
        if status == FINISHED and state is not None and job.num_eval_episodes:
            result["evaluation"] = _evaluate(job, state, eval_key)
            for policy, values in result["evaluation"].items():
                result["limit_met"][policy] = _met(values["cost"], result["cost_limit"])
    directory.write_json("result.json", result)
    directory.close()
    return result


def summary(result: Mapping[str, Any], path: Path) -> Group:
    """The table at the end of a run, to print with rich."""
    table = Table(title="Reward and cost of an episode", title_justify="left")
    for column in ("policy", "reward", "cost", "limit", "met"):
        table.add_column(column)
    limit = number(result["cost_limit"])
    training = result["training"]
    finished = training["episodes_finished"]
    table.add_row(
        f"in training, V_c of {finished:g} episodes" if finished else "in training, running V_c (no episode finished)",
        number(training["reward"]), number(training["cost"]), limit, _yes_or_no(result["limit_met"]["training"]),
    )  # fmt: skip
    for policy, evaluation in result.get("evaluation", {}).items():
        table.add_row(
            f"{policy}, {evaluation['episodes']} new episodes",
            f"{number(evaluation['reward'])} ± {number(evaluation['reward_std'])}",
            f"{number(evaluation['cost'])} ± {number(evaluation['cost_std'])}",
            limit, _yes_or_no(result["limit_met"][policy]),
        )  # fmt: skip
    used, fixed = result["env_steps"], result["fixed_env_steps"]
    difference = f"{abs(1 - used / fixed):.1%} {'fewer' if used <= fixed else 'more'}"
    facts = Table.grid(padding=(0, 2))
    facts.add_row("samples", f"{used:,} in {result['iterations']} iterations; fixed X: {fixed:,} ({difference})")
    facts.add_row("time", f"{clock_time(result['seconds'])}, and {clock_time(result['compile_seconds'])} to compile")
    facts.add_row("run directory", str(path))
    return Group(table, facts)


@contextlib.contextmanager
def finish_on_interrupt() -> Iterator[threading.Event]:
    """Within it, the first Ctrl-C only sets the event; a second one interrupts at once."""
    interrupted = threading.Event()

    def on_signal(*_: object) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    previous = signal.signal(signal.SIGINT, on_signal)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, previous)


def _training_result(records: list[dict[str, Any]], base_sample_size: int) -> dict[str, Any]:
    last = records[-1]
    return {
        "env_steps": last["env_steps"],
        "fixed_env_steps": len(records) * base_sample_size,
        "cost_limit": last["cost_limit"],
        "training": {
            "reward": last["episode_reward"],
            "cost": last["episode_cost"],
            "episodes_finished": last["episodes_finished"],
        },
        "limit_met": {"training": _met(last["episode_cost"], last["cost_limit"])},
    }


def _evaluate(job: Job, state: TrainState, key: jax.Array) -> dict[str, Any]:
    """Fresh episodes of the policy as it was trained (stochastic), and of its mean (deterministic)."""
    results: dict[str, Any] = {}
    for policy in ("stochastic", "deterministic"):
        evaluate = evaluator(
            job.env,
            job.algorithm.make_inference_fn,
            num_episodes=job.num_eval_episodes,
            episode_length=job.algorithm.config.episode_length,
            action_repeat=job.algorithm.config.action_repeat,
            deterministic=policy == "deterministic",
        )
        evaluation = jax.device_get(jax.jit(evaluate)(job.algorithm.params(state), key))
        values = {name: value.squeeze().tolist() for name, value in evaluation._asdict().items()}
        results[policy] = {"episodes": job.num_eval_episodes, **values}
    return results


def _met(cost: float | list[float], limit: float | list[float]) -> bool:
    costs, limits = (x if isinstance(x, list) else [x] for x in (cost, limit))
    return all(cost <= limit for cost, limit in zip(costs, limits, strict=True))


def _yes_or_no(met: bool) -> str:
    return "[green]yes[/green]" if met else "[red]no[/red]"
