"""Speed, memory, and what fewer samples save, on the accelerator that JAX finds: part by part, as far as the time goes.

    bash experiments/benchmarks/gpu.sh runs/gpu
    bash experiments/benchmarks/gpu.sh runs/gpu --minutes 10 --parts safety_reacher:spring:4096

Every part leaves a file in the folder when it is complete. A part whose file is there is not run again, so the same
command goes on where an earlier one stopped. When the minutes are over, the part that runs is ended. The folder also
has a log of each part, compiled programs, and gpu.md, a page of all that was measured so far.

The exit code is 0 when all parts are complete, 1 when some failed, and 2 when the time ended first.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import common
import tyro

from espo_jax.results import bench_table
from espo_jax.results.bench import STEPPING, TRAINING, WITH_POLICY
from espo_jax.runs import files

_WIDTHS = (4096, 16384, 1024, 64)
# The most telling ones first.
PARTS = (
    *(f"{task}:spring:{n}" for task in ("safety_reacher", "safety_hopper_velocity") for n in _WIDTHS),
    *("safety_hopper_velocity:mjx:4096", "safety_reacher:generalized:4096", "safety_walker2d:spring:4096"),
    *("safety_humanoidstandup:spring:4096", "safety_ant_velocity:spring:4096"),
    *(f"safety_hopper_velocity:mjx:{n}" for n in _WIDTHS[1:]),
    *(f"safety_reacher:generalized:{n}" for n in _WIDTHS[1:]),
    *(f"{task}:mjx:{n}" for task in ("safety_walker2d", "safety_ant_velocity") for n in _WIDTHS),
    *(f"safety_humanoidstandup:mjx:{n}" for n in (4096, 1024, 64)),
)
_SAVINGS = "safety_reacher:spring"  # of which the time of smaller sample sizes is measured too
_GRACE_SECONDS = 20  # for a program to end after it is asked to


@dataclass(frozen=True)
class Args:
    """Measure on an accelerator.

    Attributes:
      folder: folder of the results.
      minutes: time after which no part is begun and the one that runs is ended.
      parts: what to measure, each as task:backend:environments.
      flags: further flags of `espo bench`, in one text.
    """

    folder: tyro.conf.Positional[Path]
    minutes: float = 25.0
    parts: tuple[str, ...] = PARTS
    flags: str = ""


def run(command: list[str], result: Path, by_output: bool, end: float, environment: dict[str, str]) -> str:
    """Run a program until it is done or the time is over.

    Args:
      command: the program; unless `by_output`, it writes `result` with the suffix .part.
      result: file that is there when the program has ended well.
      by_output: whether the file is what the program prints.
      end: when the time is over, on the monotonic clock.
      environment: environment variables.

    Returns:
      "done", "failed" or "late".
    """
    if result.exists():
        return "done"
    if time.monotonic() >= end:
        return "late"
    print(result.name, flush=True)
    part = result.with_name(f"{result.name}.part")
    log_path = result.with_suffix(".log")
    with log_path.open("w") as log, contextlib.ExitStack() as stack:
        output = stack.enter_context(part.open("w")) if by_output else log
        code = _wait(subprocess.Popen(command, stdout=output, stderr=log, env=environment), end)
    if code is None:
        return "late"
    if code != 0:
        print(f"  failed: see {result.with_suffix('.log')}", flush=True)
        return "failed"
    part.replace(result)
    return "done"


def _wait(program: subprocess.Popen, end: float) -> int | None:
    """Exit code of a program; None if the time is over before it ends. It never outlives this function."""
    try:
        return program.wait(end - time.monotonic())
    except subprocess.TimeoutExpired:
        return None
    finally:
        program.terminate()
        try:
            program.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


def measure(args: Args) -> set[str]:
    """Run all parts in turn, and write the page after each; returns how they ended."""
    end = time.monotonic() + 60 * args.minutes
    # Without preallocation the peak is what the programs take.
    environment = {
        "JAX_COMPILATION_CACHE_DIR": str(args.folder.absolute() / "compiled"),
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        **os.environ,
    }
    ended = set()
    for task, backend, width in (part.split(":") for part in args.parts):
        name = f"{task}-{backend}-{width}"
        options = ["--task", task, "--backend", backend, "--num-envs", width]
        result = args.folder / f"bench-{name}.json"
        bench = [sys.executable, "-m", "espo_jax.cli", "bench", *options, "--algorithms", "espo,crpo"]
        bench += ["--json", f"{result}.part", *args.flags.split()]
        ended.add(run(bench, result, by_output=False, end=end, environment=environment))
        if f"{task}:{backend}" == _SAVINGS:
            sizes = [sys.executable, str(Path(__file__).with_name("sample_size.py")), *options]
            result = args.folder / f"sizes-{name}.md"
            sizes += ["--samples-per-env", "64"]
            ended.add(run(sizes, result, by_output=True, end=end, environment=environment))
        files.write(args.folder / "gpu.md", page(args.folder).encode())
    return ended


def page(folder: Path) -> str:
    """What was measured so far, as Markdown. Files that cannot be read are named and left out."""
    contents, lines = [], []
    for path in sorted(folder.glob("bench-*.json")):
        try:
            contents.append(bench_table.read(path))
        except files.DamagedError as error:
            lines.append(f"Left out: {error}\n")
    lines += [f"{place}\n" for place in sorted({_where(content) for content in contents})]
    names = sorted({row["algorithm"] for content in contents for row in content["figures"] if row["algorithm"]})
    head = ["task", "physics", "environments", "X", "stepping: steps/s", "with policy: steps/s"]
    head += [f"{name}: {what}" for name in names for what in ("steps/s", "ms", "compile s", "program MB")]
    rows = sorted((_row(content, names) for content in contents), key=lambda row: row[:3])
    cells = [[x if isinstance(x, str) else f"{x:,.0f}" for x in row] for row in rows]
    lines.append(common.table([*head, "peak MB"], cells))
    for path in sorted(folder.glob("sizes-*.md")):
        lines.append(f"\n## What fewer samples save: {path.stem.removeprefix('sizes-')}\n\n{path.read_text().strip()}")
    intro = "Written by `experiments/benchmarks/gpu.py`; steps are environment steps, medians of the runs."
    return "\n".join(["# On an accelerator\n", f"{intro}\n", *lines, ""])


def _where(content: dict[str, Any]) -> str:
    device, versions = content.get("device", {}), content.get("versions", {})
    of = ", ".join(f"{name} {versions[name]}" for name in ("jax", "brax", "mujoco", "python") if name in versions)
    return f"{device.get('count')} x {device.get('kind')}, {of}"


def _row(content: dict[str, Any], names: list[str]) -> list[Any]:
    """A line of the table: one task on one physics, with one number of environments."""
    found = {(row["part"], row["algorithm"]): row for row in content["figures"]}
    first = content["figures"][0]
    row = [content["settings"]["task"], content["settings"]["backend"], first["num_envs"], first["samples"]]
    row += [found[part, None]["samples_per_second"] for part in (STEPPING, WITH_POLICY)]
    for name in names:
        it = found.get((TRAINING, name))
        row += ["", "", "", ""] if it is None else [
            it["samples_per_second"], 1000 * it["samples"] / it["samples_per_second"], it["compile_seconds"],
            it["program_bytes"] / 1e6,
        ]  # fmt: skip
    return [*row, max(each["peak_bytes"] for each in content["figures"]) / 1e6]


def main(args: Args) -> None:
    for part in args.parts:
        task, _, width = (*part.split(":"), "", "")[:3]
        if part.count(":") != 2 or not task or not width.isdecimal():
            raise SystemExit(f"parts has {part!r}: each must be task:backend:environments, such as {PARTS[0]}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the program that runs is ended too
    args.folder.mkdir(parents=True, exist_ok=True)
    ended = measure(args)
    if "late" in ended:
        print("the time is over; the same command goes on from here")
    raise SystemExit(1 if "failed" in ended else 2 if "late" in ended else 0)


if __name__ == "__main__":
    main(tyro.cli(Args))
