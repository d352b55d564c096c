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

from espo_jax.evaluation import DETERMINISTIC
from espo_jax.loop import Budget, iterate, start
from espo_jax.presets import preset
from espo_jax.runs import prepare, run
from espo_jax.runs.evaluations import Evaluations
from espo_jax.runs.options import RunOptions
from espo_jax.runs.records import record


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


def once(args: Args, env, started, state, folder: Path, **changes) -> float:
    """Seconds of args.iterations iterations of a run with these options."""
    options = RunOptions(task=args.task, run_dir=str(folder), checkpoint_minutes=float("inf"), **changes)
    prepared = prepare.new_run(env, preset("paper", args.task), options)
    checkpoints = prepared.checkpoints()
    evaluations = Evaluations(prepared, jax.random.key(1))
    if options.eval_interval:
        evaluations.now(state, DETERMINISTIC)  # compiles
    prepared.algorithm.params(state)  # compiles
    first = int(state.iteration)
    begin = time.perf_counter()
    for iteration in iterate(started.step, state, prepared.hyperparams, Budget.create(first + args.iterations, None)):
        prepared.directory.append(record(iteration.metrics, iteration.seconds))
        line = {**prepared.directory.records[-1], "iteration": int(iteration.metrics.iteration) - first}
        if checkpoints.due(line["iteration"]):
            run.save(prepared, checkpoints, iteration.state)
        evaluations.at(line, iteration.state)
    checkpoints.close()
    prepared.directory.close()
    return time.perf_counter() - begin


def main(args: Args) -> None:
    print(common.machine())
    env = safety_envs.make(args.task, backend=args.backend)
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    with tempfile.TemporaryDirectory() as folder:
        options = RunOptions(task=args.task, run_dir=str(Path(folder) / "warm"))
        prepared = prepare.new_run(env, preset("paper", args.task), options)
        started = start(prepared.algorithm, prepared.hyperparams, jax.random.key(0))
        state = started.state
        for iteration in iterate(started.step, state, prepared.hyperparams, Budget.create(args.warm_iterations, None)):
            state = iteration.state
        for repeat in range(args.repeats):
            for i, (name, changes) in enumerate(VARIANTS.items()):
                seconds[name].append(once(args, env, started, state, Path(folder) / f"{i}-{repeat}", **changes))
    bare = np.median(seconds["bare"])
    rows = [[name, f"{np.median(s):.2f}", f"{np.median(s) / bare:.3f}"] for name, s in seconds.items()]
    print(f"{args.task} on {args.backend}, paper's settings, {args.iterations} iterations, medians of {args.repeats}\n")
    print(common.table(["run", "seconds", "/ bare"], rows))


if __name__ == "__main__":
    main(tyro.cli(Args))
