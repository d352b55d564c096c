"""What `soak.py` starts and disturbs: its attacks, the folder of a run, processes, and a process that trains beside."""

import contextlib
import dataclasses
import json
import os
import pty
import random
import resource
import signal
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

ITERATIONS = 30
SETTINGS = [
    "--task", "safety_reacher", "--backend", "spring", "--warmup-iterations", "5", "--base-sample-size", "3200",
    "--num-envs", "16", "--block-size", "800", "--checkpoint-iterations", "2", "--eval-interval", "10",
    "--num-eval-episodes", "4",
]  # fmt: skip
ESPO = (sys.executable, "-m", "espo_jax.cli")
LONGEST = 300  # seconds after which a process counts as hanging
# What a run does: nothing is written yet; it is compiled; it iterates; no iteration is left.
STARTING, COMPILING, TRAINING, ENDING = "starting", "compiling", "training", "ending"


@dataclasses.dataclass(frozen=True)
class Attack:
    """How a run is disturbed, and how it may end then.

    Attributes:
      strike: disturbs the run; it gets the process, the process that reads its output, and a random generator.
      code: exit code if the run was training.
      early: exit code that is right too if the run was starting or ending.
      stdout: what the run prints to, a kind of `Processes.stdout_of`.
      in_save: whether the attack waits until a checkpoint is being written.
      in_resume: whether only a resume is attacked, soon after it began to write.
    """

    strike: Callable[[subprocess.Popen, Any, random.Random], Any]
    code: int
    early: int | None = None
    stdout: str = "null"
    in_save: bool = False
    in_resume: bool = False

    def codes(self, phase: str) -> set[int | None]:
        """Exit codes that are right after an attack in a phase."""
        return {self.code} | ({self.early} if phase != TRAINING else set()) | ({0} if phase == ENDING else set())


def send(number: signal.Signals) -> Callable:
    return lambda process, reader, rng: process.send_signal(number)


def hang_up(process: subprocess.Popen, reader: subprocess.Popen, rng: random.Random) -> None:
    reader.kill()
    reader.wait()


def fill_disk(process: subprocess.Popen, reader: Any, rng: random.Random) -> None:
    """Let no file of the process grow beyond a few bytes."""
    most = rng.choice([0, 2_000, 50_000])
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))


ATTACKS = {
    "kill": Attack(send(signal.SIGKILL), -9),
    "kill_in_save": Attack(send(signal.SIGKILL), -9, in_save=True),
    "kill_in_resume": Attack(send(signal.SIGKILL), -9, in_resume=True),
    "sigterm": Attack(send(signal.SIGTERM), 143, early=-15),
    "sighup": Attack(send(signal.SIGHUP), 129, early=-1),
    "sigint": Attack(send(signal.SIGINT), 130, early=-2),
    "closed_stdout": Attack(hang_up, 0, stdout="pipe"),
    "closed_terminal": Attack(hang_up, 0, stdout="terminal"),
    "full_stdout": Attack(lambda *_: None, 0, stdout="full"),
    "full_disk": Attack(fill_disk, 4, early=2),
}


class Run:
    """The folder of a run that a process is about to write to."""

    def __init__(self, path: Path):
        """Remember what is in the folder, if there is one."""
        self.path = path
        self._config, self._lines = self._version_of_config(), self.lines()

    def lines(self) -> int:
        """Number of iterations that were logged."""
        metrics = self.path / "metrics.jsonl"
        return metrics.read_bytes().count(b"\n") if metrics.exists() else 0

    def phase(self) -> str:
        """What the process does."""
        if self._version_of_config() == self._config:
            return STARTING
        return ENDING if self.lines() >= ITERATIONS else TRAINING

    def writes(self) -> bool:
        """Whether the process has written to the folder."""
        return self.phase() != STARTING

    def iterates(self) -> bool:
        """Whether the process has logged an iteration, or dropped one."""
        return self.writes() and self.lines() != self._lines

    def saves(self) -> bool:
        """Whether a checkpoint is being written."""
        return any(self.path.glob("checkpoints/*orbax-checkpoint-tmp*"))

    def result(self) -> dict[str, Any]:
        """Content of result.json."""
        return json.loads((self.path / "result.json").read_text())

    def outcome(self) -> dict[str, Any]:
        """All that a run ends with, but for how long it took."""
        lines = [json.loads(line) for line in (self.path / "metrics.jsonl").read_text().splitlines()]
        return {
            "metrics": [{k: v for k, v in line.items() if k != "steps_per_second"} for line in lines],
            "policy": (self.path / "policy.npz").read_bytes(),
            "evaluations": (self.path / "evaluations.jsonl").read_text(),
            **{name: self.result()[name] for name in ("evaluation", "status")},
        }

    def _version_of_config(self) -> tuple[int, int] | None:
        try:
            found = (self.path / "config.json").stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns


class Processes:
    """Starts processes, and ends those that are left."""

    def __init__(self, folder: Path):
        """Nothing is started yet."""
        # The cache is shared so that hundreds of starts do not compile hundreds of times.
        cache = {"JAX_COMPILATION_CACHE_DIR": str(folder / "cache"), "PYTHONFAULTHANDLER": "1"}
        self._environment = {**os.environ, **cache}
        self._all: list[subprocess.Popen] = []

    def start(
        self, *command: str | Path, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.DEVNULL
    ) -> subprocess.Popen:
        """Start a command; its errors are kept."""
        streams: dict[str, Any] = {"stdin": stdin, "stdout": stdout, "stderr": subprocess.PIPE, "text": True}
        # A session of its own, since Ctrl-C in the terminal of the soak should reach the soak alone.
        process = subprocess.Popen([*map(str, command)], env=self._environment, start_new_session=True, **streams)
        self._all = [*(each for each in self._all if each.poll() is None), process]
        return process

    def train(self, path: Path, stdout: int = subprocess.DEVNULL) -> subprocess.Popen:
        """Begin a run, or go on with it if its folder exists."""
        new = (*SETTINGS, "--num-iterations", str(ITERATIONS), "--run-dir", path)
        return self.start(*ESPO, "train", *(("--resume", path) if path.exists() else new), stdout=stdout)

    def stdout_of(self, kind: str) -> tuple[int, subprocess.Popen | None]:
        """A descriptor to print to, and the process at its other end, if there is one."""
        if kind in ("null", "full"):
            return os.open(f"/dev/{kind}", os.O_WRONLY), None
        read, write = os.pipe() if kind == "pipe" else pty.openpty()
        reader = self.start("cat", stdin=read)
        os.close(read)
        return write, reader

    def end_all(self) -> None:
        """End all processes that are left."""
        for process in self._all:
            process.kill()
            process.wait()


def finish(process: subprocess.Popen) -> tuple[int, str]:
    """Exit code and errors of a process. One that hangs is aborted, and its errors then say where it was."""
    try:
        _, errors = process.communicate(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        _, errors = process.communicate()
    return process.returncode, errors


class Companion:
    """A process that trains all the time; its memory, descriptors and threads are measured every ten seconds."""

    NAMES = ("memory (MB)", "file descriptors", "threads")

    def __init__(self, processes: Processes, path: Path):
        """Start the process."""
        self._run = Run(path)
        self._samples: list[tuple[float, ...]] = []
        settings = (*SETTINGS, "--num-iterations", "1000000000", "--run-dir", path)
        self.process = processes.start("nice", "-n", "19", *ESPO, "train", *settings)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while self.process.poll() is None and not self._stop.wait(10):
            with contextlib.suppress(OSError, KeyError):  # the process ended just now
                if self._run.iterates():
                    self._samples.append((self._run.lines(), *self._measure()))

    def _measure(self) -> tuple[float, int, int]:
        folder = Path(f"/proc/{self.process.pid}")
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        return int(status["VmRSS"].split()[0]) / 1024, len(os.listdir(folder / "fd")), int(status["Threads"])

    def stop(self) -> None:
        """End the process."""
        self._stop.set()
        self._thread.join()
        self.process.kill()

    def report(self) -> list[str]:
        """Medians of the first and the last quarter of the time, and the slope by least squares."""
        if len(self._samples) < 8:
            return [f"The process beside the runs was measured only {len(self._samples)} times."]
        iterations, *columns = zip(*self._samples, strict=True)
        quarter = len(iterations) // 4
        lines = [f"The process beside the runs did {iterations[-1]:,} iterations (measured {len(iterations)} times):"]
        lines += ["", "| | first quarter | last quarter | change in 1,000 iterations |", "|---|---|---|---|"]
        for name, values in zip(self.NAMES, columns, strict=True):
            first, last = statistics.median(values[:quarter]), statistics.median(values[-quarter:])
            slope = 1000 * statistics.linear_regression(iterations, values).slope
            lines.append(f"| {name} | {first:.0f} | {last:.0f} | {slope:+.2f} |")
        return lines
