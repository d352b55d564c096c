"""What checkpoints, logging and evaluation cost: the same iterations with and without, in turns in one process.

    python experiments/benchmarks/overhead.py

Each variant runs the same iterations from the same state: bare (metrics.jsonl only), with a checkpoint every 10
iterations and TensorBoard, and with the evaluation of the default interval. Compiled before: the iteration, the
evaluation, and what takes the policy out of the state to save it. Timed to the moment when everything is on the disk.
"""

import dataclasses
import tempfile
import time
from pathlib import Path

import common
import jax
import numpy as np
import safety_envs
import tyro

from espo_jax import algorithms
from espo_jax.presets import preset
from espo_jax.training import job, run, run_directory
from espo_jax.training.loop import Budget, iterate, start


@dataclasses.dataclass(frozen=True)
class Args:
    """What to measure.

    Args:
      task: name of the task.
      backend: physics.
      iterations: of each run; evaluation comes once in the default interval of 50.
      warm_iterations: before, to leave the warm-up.
      repeats: of each variant.
    """

    task: str = "safety_reacher"
    backend: str = "spring"
    iterations: int = 50
    warm_iterations: int = 5
    repeats: int = 5


VARIANTS = {
    "bare": {"eval_interval": 0},
    "checkpoint every 10, tensorboard": {"eval_interval": 0, "checkpoint_iterations": 10, "log": "tensorboard"},
    "evaluation every 50": {"eval_interval": 50},
}


def once(args: Args, env, started, state, folder: Path, **options) -> float:
    """Seconds of args.iterations iterations of a run with these options."""
    name = "espo"
    prepared = job.prepare(
        env, algorithms.load(name).make, preset("paper", args.task, name), task=args.task, algorithm=name,
        run_dir=folder, checkpoint_minutes=float("inf"), **options,
    )  # fmt: skip
    checkpoints = prepared.checkpoints()
    evaluate = run.Evaluations(prepared, jax.random.key(1))
    if options["eval_interval"]:
        evaluate.now(state, run.DETERMINISTIC, jax.random.key(0))  # compiles
    prepared.algorithm.params(state)  # compiles
    first = int(state.iteration)
    begin = time.perf_counter()
    for iteration in iterate(started.step, state, prepared.hyperparams, Budget.create(first + args.iterations, None)):
        prepared.directory.append(run_directory.record(iteration.metrics, iteration.seconds))
        record = {**prepared.directory.records[-1], "iteration": int(iteration.metrics.iteration) - first}
        if checkpoints.due(record["iteration"]):
            run.save(prepared, checkpoints, iteration.state)
        evaluate.at(record, iteration.state)
    checkpoints.close()
    prepared.directory.close()
    return time.perf_counter() - begin


def main(args: Args) -> None:
    print(common.machine())
    env = safety_envs.make(args.task, backend=args.backend)
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    with tempfile.TemporaryDirectory() as folder:
        prepared = job.prepare(
            env, algorithms.load("espo").make, preset("paper", args.task), task=args.task, algorithm="espo",
            run_dir=Path(folder) / "warm",
        )  # fmt: skip
        started = start(prepared.algorithm, prepared.hyperparams, jax.random.key(0))
        state = started.state
        for iteration in iterate(started.step, state, prepared.hyperparams, Budget.create(args.warm_iterations, None)):
            state = iteration.state
        for repeat in range(args.repeats):
            for i, (name, options) in enumerate(VARIANTS.items()):
                seconds[name].append(once(args, env, started, state, Path(folder) / f"{i}-{repeat}", **options))
    bare = np.median(seconds["bare"])
    rows = [[name, f"{np.median(s):.2f}", f"{np.median(s) / bare:.3f}"] for name, s in seconds.items()]
    print(f"{args.task} on {args.backend}, paper's settings, {args.iterations} iterations, medians of {args.repeats}\n")
    print(common.table(["run", "seconds", "/ bare"], rows))


if __name__ == "__main__":
    main(tyro.cli(Args))
