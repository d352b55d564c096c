"""Timing shared by the benchmarks: warm up, repeat, block until ready, take the median."""

import os
import platform
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import safety_envs

from espo_jax.results import bench


def compile_and_time(fn: Callable, *args: Any, repeats: int = 5) -> tuple[float, float]:
    """Seconds to compile fn(*args), and the median of its runs; two runs warm up."""
    begin = time.perf_counter()
    compiled = jax.jit(fn).lower(*args).compile()
    compile_seconds = time.perf_counter() - begin
    return compile_seconds, median_seconds(lambda: compiled(*args), repeats)


def median_seconds(run: Callable[[], Any], repeats: int = 5) -> float:
    """Median wall time of run(), its result ready, after two runs to warm up."""
    return interleaved_median_seconds({"": run}, repeats)[""]


def interleaved_median_seconds(runs: dict[Any, Callable[[], Any]], repeats: int) -> dict[Any, float]:
    """Medians of several runs taken in turns, so that a busy moment of the machine falls on all of them."""
    times: dict[Any, list[float]] = {name: [] for name in runs}
    for _ in range(repeats + 2):
        for name, run in runs.items():
            begin = time.perf_counter()
            jax.block_until_ready(run())
            times[name].append(time.perf_counter() - begin)
    return {name: float(np.median(values[2:])) for name, values in times.items()}


def make(task: str, backend: str, algorithm: str = "espo", **settings: Any) -> tuple:
    """Environment, algorithm, hyperparameters of a task with the paper's settings and some changes."""
    env = safety_envs.make(task, backend=backend)
    return env, *bench.make(env, task, algorithm, **settings)


def peak_memory() -> str:
    """Peak memory so far: of the accelerator where it reports one, else of this process."""
    return f"{bench.peak_bytes() / 2**20:.0f} MiB"


def machine() -> str:
    """One line on what this ran on."""
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    return (
        f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores, load {load}, jax {jax.__version__}, "
        f"Python {platform.python_version()}"
    )


def table(head: list[str], rows: list[list[Any]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
