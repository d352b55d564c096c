"""Table 1's number of samples, with the time limit of an episode as a termination and as a truncation.

    python experiments/time_limit.py run --task safety_reacher   # trains what is missing, goes on where it stopped
    python experiments/time_limit.py table                       # of what is finished, and a picture of each task

ESPO with the paper's settings, 500 iterations, one `espo train` for each seed. `table` keeps the series of finished
runs in docs/results/time_limit and reads those, so that it repeats without the runs.
"""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from espo_jax import cli
from espo_jax.modes import MODE_NAMES
from espo_jax.results import group_plots
from espo_jax.runs.records import read_metrics, readable

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "time_limit"
BACKENDS = {"safety_reacher": "spring", "safety_walker2d": "mujoco", "safety_humanoidstandup": "mujoco"}
PAPER = {"safety_reacher": 5.7, "safety_walker2d": 6.2, "safety_humanoidstandup": 5.1}  # Table 1, million samples
FIELDS = ("env_steps", "sample_size", "episode_reward", "episode_cost", "conflict_angle")


@dataclass(frozen=True)
class Run:
    """Train the cells of one task that are not finished.

    Attributes:
      task: one of BACKENDS.
      time_limits: what the time limit is.
      seeds: random seeds.
      runs: folder of the run directories.
    """

    task: str = "safety_reacher"
    time_limits: tuple[str, ...] = ("termination", "truncation")
    seeds: tuple[int, ...] = (0, 1, 2)
    runs: Path = Path("runs/time_limit")


@dataclass(frozen=True)
class Table:
    """Keep the series of finished runs, and write the table and the pictures.

    Attributes:
      runs: folder of the run directories.
    """

    runs: Path = Path("runs/time_limit")


def cells(tasks: tuple[str, ...]) -> Iterator[tuple[str, str, int]]:
    """Task, time limit and seed of every cell."""
    return itertools.product(tasks, ("termination", "truncation"), range(10))


def run(args: Run) -> None:
    for time_limit, seed in itertools.product(args.time_limits, args.seeds):
        path = args.runs / f"{args.task}-{time_limit}-{seed}"
        if is_finished(path):
            continue
        command = ["train", "--resume", str(path)]
        if not (path / "config.json").exists():
            backend = BACKENDS[args.task]
            command = ["train", "--task", args.task, "--backend", backend, "--seed", str(seed)]
            command += ["--time-limit", time_limit, "--run-dir", str(path)]
        if code := cli.main(command):
            raise SystemExit(code)


def is_finished(path: Path) -> bool:
    result = path / "result.json"
    return result.exists() and json.loads(result.read_text())["status"] == "finished"


def keep(path: Path) -> None:
    """The series of a finished run as docs/results/time_limit/<cell>.npz."""
    records = readable(read_metrics(path / "metrics.jsonl"))
    series = {name: np.array([line[name] for line in records], np.float32) for name in FIELDS}
    series["env_steps"] = np.array([line["env_steps"] for line in records])
    series["mode"] = np.array([MODE_NAMES.index(line["mode"]) for line in records], np.int8)
    limits = {name: records[0][name] for name in ("cost_limit", "slack_positive", "slack_negative")}
    RESULTS.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(RESULTS / f"{path.name}.npz", **series, **limits)


def row(task: str, time_limit: str, seed: int) -> list[str]:
    data = np.load(RESULTS / f"{task}-{time_limit}-{seed}.npz")
    limit, cost = float(data["cost_limit"]), data["episode_cost"]
    counts = np.bincount(data["mode"], minlength=len(MODE_NAMES))
    return [
        f"{task}, {BACKENDS[task]}",
        time_limit,
        str(seed),
        f"{data['env_steps'][-1] / 1e6:.3f}",
        f"{PAPER[task]}",
        ", ".join(map(str, counts)),
        f"{100 * counts[-1] / len(cost):.0f} %",
        f"{data['episode_reward'][-20:].mean():.1f}",
        f"{cost[-20:].mean():.1f} of {limit:g}",
        f"{100 * np.mean(cost[-100:] > limit):.0f} %",
    ]


def records(path: Path) -> list[dict]:
    """A kept series as the lines of a metrics.jsonl."""
    data = np.load(path)
    limits = {name: float(data[name]) for name in ("cost_limit", "slack_positive", "slack_negative")}
    return [
        {**{name: data[name][i].item() for name in FIELDS}, "mode": MODE_NAMES[data["mode"][i]], **limits}
        for i in range(len(data["mode"]))
    ]


def table(args: Table) -> None:
    for task, time_limit, seed in cells(tuple(BACKENDS)):
        path = args.runs / f"{task}-{time_limit}-{seed}"
        if is_finished(path):
            keep(path)
    kept = [cell for cell in cells(tuple(BACKENDS)) if (RESULTS / "{}-{}-{}.npz".format(*cell)).exists()]
    head = [
        "task",
        "time limit",
        "seed",
        "samples (M)",
        "the paper",
        f"iterations: {', '.join(MODE_NAMES)}",
        "conflicts",
    ]
    head += ["reward", "cost", "above the limit"]
    lines = [head, ["---"] * len(head), *(row(*cell) for cell in kept)]
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    (RESULTS / "table.md").write_text(text)
    print(text)
    for task in dict.fromkeys(task for task, *_ in kept):
        groups: dict[str, list] = {}
        for of_task, time_limit, seed in kept:
            if of_task == task:
                groups.setdefault(time_limit, []).append(records(RESULTS / f"{task}-{time_limit}-{seed}.npz"))
        group_plots.draw(groups, RESULTS / f"{task}.png", title=f"ESPO on {task}, {BACKENDS[task]}, by time_limit")


def main() -> None:
    args = tyro.cli(Annotated[Run, tyro.conf.subcommand("run")] | Annotated[Table, tyro.conf.subcommand("table")])
    run(args) if isinstance(args, Run) else table(args)


if __name__ == "__main__":
    main()
