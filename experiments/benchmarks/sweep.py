"""Lanes in packs of several sizes, sorted and in the order of the sweep, against single runs one after the other.

    python experiments/benchmarks/sweep.py                         # 48 lanes, 100 iterations: hours on two cores
    python experiments/benchmarks/sweep.py --iterations 20 --singles 6

Every configuration is a process of its own, start-up and compilation included. The ideal is a time in proportion to the
samples: a pack waits for the largest sample size in it, so its share of the ideal is the sum of the samples divided by
what the packs waited for.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import common
import numpy as np
import tyro

from espo_jax.environments import named_env
from espo_jax.runs.options import RunOptions
from espo_jax.runs.output import Console
from espo_jax.sweeps import axes, columns
from espo_jax.sweeps.folder import SweepFolder
from espo_jax.sweeps.plan import lanes_of
from espo_jax.sweeps.progress import Report
from espo_jax.sweeps.sweep import Worker


@dataclass(frozen=True)
class Args:
    """Time a sweep.

    Attributes:
      task: task.
      backend: physics.
      iterations: number of iterations of each lane.
      samples: number of samples of a full iteration, X.
      warmup: number of iterations without constraints, in which all lanes take full iterations.
      episodes: number of episodes of an evaluation at the end of a lane.
      packs: pack sizes; 0 stands for single runs.
      singles: number of single runs that are timed, one lane after the other; None stands for all.
      order: sorted, unsorted or both.
      child: what a process of its own runs, for this script only.
    """

    task: str = "safety_reacher"
    backend: str = "mujoco"
    iterations: int = 100
    samples: int = 4000
    warmup: int = 40
    episodes: int = 20
    packs: tuple[int, ...] = (1, 4, 16, 48)
    singles: int | None = None
    order: tuple[str, ...] = ("sorted", "unsorted")
    child: str = ""


_PASSED = ("task", "backend", "iterations", "samples", "warmup", "episodes")
LIMITS, ZETAS, SEEDS = (20.0, 30.0, 40.0, 60.0), (-0.5, -0.3, -0.1), range(4)


def lanes(args: Args) -> list:
    options = RunOptions(task=args.task, backend=args.backend, eval_interval=0, num_eval_episodes=args.episodes)
    settings = {
        "num_iterations": args.iterations, "base_sample_size": args.samples, "warmup_iterations": args.warmup,
    }  # fmt: skip
    return lanes_of(named_env, options, settings, axes.grid(cost_limit=LIMITS, zeta_negative=ZETAS), SEEDS)


def child(args: Args) -> None:
    """A sweep in one process; prints its figures."""
    pack, order, path = args.child.split(":")
    begin = time.perf_counter()
    folder = SweepFolder.plan(path, lanes(args), lanes_per_group=48)
    Worker(
        folder, named_env, Report(Console(quiet=True), folder.manifest), pack_size=int(pack), sort=order == "sorted"
    ).run()
    rows, waited = folder.rows(), waited_for(folder, int(pack), order == "sorted")
    samples = sum(row["env_steps"] for row in rows)
    print(json.dumps({
        "seconds": time.perf_counter() - begin,
        "stepping": sum(row["seconds"] for row in rows),
        "samples": samples,
        "share": samples / waited,
        "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "finished": sum(row["status"] == "finished" for row in rows),
    }))  # fmt: skip


def waited_for(folder: SweepFolder, pack: int, is_sorted: bool) -> int:
    """Samples that the packs of a sweep waited for: the largest of each pack, times the lanes in it."""
    table = columns.read(sorted((folder.path / "metrics").iterdir()), ["lane", "iteration", "sample_size"])
    sizes = {(row["iteration"], row["lane"]): row["sample_size"] for row in table.to_pylist()}
    order, total = [lane.id for lane in folder.manifest.lanes], 0
    for iteration in sorted({iteration for iteration, _ in sizes}):
        of_iteration = [sizes[iteration, lane] for lane in order if (iteration, lane) in sizes]
        if is_sorted:
            of_iteration.sort(reverse=True)
        parts = [of_iteration[i : i + pack] for i in range(0, len(of_iteration), pack)]
        total += sum(max(part) * len(part) for part in parts)
    return total


def run_child(args: Args, pack: int, order: str, folder: str) -> dict:
    flags = [f"--{name}={getattr(args, name)}" for name in _PASSED]
    command = [sys.executable, __file__, *flags, f"--child={pack}:{order}:{folder}/{pack}-{order}"]
    begin = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {**json.loads(done.stdout.splitlines()[-1]), "seconds": time.perf_counter() - begin}


def single_runs(args: Args, folder: str) -> dict:
    """Some of the lanes as runs of `espo train`, spread over all lanes."""
    chosen = lanes(args)
    if args.singles is not None:
        chosen = [chosen[i] for i in np.linspace(0, len(chosen) - 1, args.singles).round().astype(int)]
    begin, samples = time.perf_counter(), 0
    for n, lane in enumerate(chosen):
        values = {**lane.varied, "seed": lane.config.options.seed, "num-iterations": args.iterations}
        values |= {"base-sample-size": args.samples, "eval-interval": 0, "task": args.task, "backend": args.backend}
        values |= {"warmup-iterations": args.warmup, "num-eval-episodes": args.episodes}
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]
        command = [sys.executable, "-m", "espo_jax.cli", "train", *flags, f"--run-dir={folder}/run{n}"]
        subprocess.run(command, check=True, capture_output=True)
        samples += json.loads((Path(folder) / f"run{n}" / "result.json").read_text())["env_steps"]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024  # of the largest child so far
    return {"finished": len(chosen), "seconds": time.perf_counter() - begin, "samples": samples, "bytes": peak}


def main(args: Args) -> None:
    if args.child:
        return child(args)
    print(f"{common.machine()}\n{args}\n")
    head = "lanes, packs of, order, time s, samples, samples/s, share of the ideal, peak MB, against single runs"
    print(common.table(head.split(", "), []), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        alone = single_runs(args, folder)
        rate = alone["samples"] / alone["seconds"]
        print_row(alone, "espo train", "", rate)
        for pack in args.packs:
            for order in args.order if pack > 1 else ("sorted",):
                print_row(run_child(args, pack, order, folder), str(pack), order, rate)


def print_row(it: dict, packs: str, order: str, rate_of_single_runs: float) -> None:
    share = f"{it['share']:.1%}" if "share" in it else ""
    rate = it["samples"] / it["seconds"]
    numbers = [f"{it['seconds']:.0f}", f"{it['samples']:,}", f"{rate:,.0f}", share, f"{it['bytes'] / 1e6:,.0f}"]
    cells = [it["finished"], packs, order, *numbers, f"{rate / rate_of_single_runs:.2f}"]
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Args))
