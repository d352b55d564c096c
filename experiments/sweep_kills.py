"""Kill a sweep with SIGKILL at random moments, ask for it again until it is done, and compare with one left alone.

    python experiments/sweep_kills.py --kills 10

The table of lanes and the metrics of all lanes must be the same to the bit, but for the time that they took.
"""

import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from espo_jax.sweeps import columns
from espo_jax.sweeps.folder import SweepFolder


@dataclass(frozen=True)
class Args:
    """Kill a sweep.

    Attributes:
      kills: number of kills.
      seed: seed of the moments.
      longest: the longest time between the start of a process and its kill, in seconds.
      flags: flags of the sweep.
    """

    kills: int = 10
    seed: int = 0
    longest: float = 60.0
    flags: str = (
        "--task safety_reacher --backend spring --base-sample-size 2000 --num-iterations 40 --warmup-iterations 5 "
        "--grid cost_limit=20,40,80 --grid zeta_negative=-0.5,-0.2 --seeds 0-1 --lanes-per-group 6 "
        "--num-eval-episodes 4 --checkpoint-iterations 3"
    )


def start(args: Args, path: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "espo_jax.cli", "sweep", *args.flags.split(), "--sweep-dir", str(path)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def tables(path: Path) -> tuple[list[dict], list[dict]]:
    """The rows of all lanes and of all their iterations, without times."""
    folder = SweepFolder.open(path)
    lanes = [{name: value for name, value in row.items() if name != "seconds"} for row in folder.rows()]
    metrics = columns.read(sorted((path / "metrics").iterdir())).drop_columns([columns.RATE])
    return lanes, sorted(metrics.to_pylist(), key=lambda row: (row["lane"], row["iteration"]))


def main(args: Args) -> None:
    moments = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        alone, killed = Path(folder) / "alone", Path(folder) / "killed"
        begin = time.monotonic()
        if start(args, alone).wait():
            raise SystemExit("the undisturbed sweep failed")
        print(f"undisturbed: {time.monotonic() - begin:.0f} s", flush=True)
        done = 0
        while done < args.kills:
            process = start(args, killed)
            wait = moments.uniform(1.0, args.longest)
            try:
                code = process.wait(wait)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                done += 1
                lanes = SweepFolder.open(killed).rows() if (killed / "manifest.json").exists() else []
                iterations = sum(row.get("iterations") or 0 for row in lanes)
                print(f"kill {done} after {wait:.1f} s; {iterations} iterations are in the table", flush=True)
                continue
            if code:
                raise SystemExit(f"the sweep ended with {code}")
            print(f"done after {done} kills; it is begun again in another folder", flush=True)
            compare(alone, killed)
            killed = killed.with_name(f"{killed.name}-")
        if start(args, killed).wait():
            raise SystemExit("the last part of the sweep failed")
        compare(alone, killed)


def compare(alone: Path, killed: Path) -> None:
    for name, one, other in zip(("lanes", "metrics"), tables(alone), tables(killed), strict=True):
        if one != other:
            differing = next((a, b) for a, b in zip(one, other, strict=False) if a != b)
            raise SystemExit(f"{name} differ: {differing}")
        print(f"{name}: {len(one)} rows are the same to the bit", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Args))
