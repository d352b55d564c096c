"""Kill a run with SIGKILL at random moments, go on with --resume, and compare with the run that was left alone.

    python experiments/kill_and_resume.py --kills 20

Every second kill comes while a checkpoint is being written. Exits with 1 if a run ends differently.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SETTINGS = (
    "--task safety_reacher --backend spring --num-iterations 30 --warmup-iterations 5 --base-sample-size 3200 "
    "--num-envs 16 --block-size 800 --checkpoint-iterations 2 --eval-interval 10 --num-eval-episodes 4"
)


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "espo_jax.cli", "train", *args]


def outcome(path: Path) -> tuple:
    """All that a run ends with, but for how long it took."""
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    measured = [{k: v for k, v in line.items() if k != "steps_per_second"} for line in lines]
    result = json.loads((path / "result.json").read_text())
    evaluations = (path / "evaluations.jsonl").read_text()
    return measured, (path / "policy.npz").read_bytes(), evaluations, result["evaluation"], result["status"]


def being_written(path: Path) -> bool:
    return any(path.glob("checkpoints/*orbax-checkpoint-tmp*"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    folder = Path(tempfile.mkdtemp(prefix="espo-kill-"))
    # Only so that forty starts do not compile forty times.
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(folder / "cache")}
    quiet = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(command(*SETTINGS.split(), "--run-dir", str(folder / "warm")), check=True, **quiet)
    begin = time.perf_counter()
    subprocess.run(command(*SETTINGS.split(), "--run-dir", str(folder / "alone")), check=True, **quiet)
    duration = time.perf_counter() - begin
    reference = outcome(folder / "alone")
    print(f"left alone: {duration:.1f} s, {len(reference[0])} iterations")
    failures = 0
    for kill in range(args.kills):
        path = folder / f"killed{kill}"
        process = subprocess.Popen(command(*SETTINGS.split(), "--run-dir", str(path)), **quiet)
        while not (path / "config.json").exists():
            time.sleep(0.01)
        begin = time.perf_counter()
        wanted = rng.uniform(0, 0.8 * duration)
        while process.poll() is None and time.perf_counter() - begin < wanted:
            time.sleep(0.001)
        during_save = False
        while kill % 2 and process.poll() is None and not during_save:
            during_save = being_written(path)
        process.send_signal(signal.SIGKILL)
        process.wait()
        lines = (path / "metrics.jsonl").read_text().count("\n")
        saved = sorted(int(p.name) for p in path.glob("checkpoints/*") if p.name.isdecimal())
        begin = time.perf_counter()
        resumed = subprocess.run(command("--resume", str(path)), env=environment, capture_output=True, text=True)
        same = resumed.returncode == 0 and outcome(path) == reference
        failures += not same
        when = f"after {wanted:5.1f} s{', in a save' if during_save else ''}"
        found = f"{lines} lines, checkpoints {saved}"
        ending = f"resumed in {time.perf_counter() - begin:.1f} s: {'the same' if same else 'DIFFERENT'}"
        print(f"kill {kill + 1:2}: {when}; {found}; {ending}", flush=True)
        if not same:
            print(resumed.stderr[-2000:])
    shutil.rmtree(folder)
    print(f"{args.kills - failures} of {args.kills} ended as the run that was left alone, to the bit")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
