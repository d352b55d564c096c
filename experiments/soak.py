"""Disturb runs in every way that a machine does, go on with --resume, and compare with a run that was left alone.

    python experiments/soak.py --minutes 60 --output soak.md
    python experiments/soak.py --rounds 100 --attacks kill,kill_in_save,kill_in_resume

A run may be disturbed several times before it is left to finish. Commands that read its folder run beside it. One more
process trains all the time, and its memory, descriptors and threads are measured. Exits with 1 if a run ends
differently from the one left alone, if a process ends with an undocumented exit code, or if a reader fails; the folders
of such runs are kept. Linux only.
"""

import argparse
import contextlib
import dataclasses
import itertools
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from soak_runs import (
    ATTACKS,
    COMPILING,
    ENDING,
    ESPO,
    ITERATIONS,
    STARTING,
    TRAINING,
    Attack,
    Companion,
    Processes,
    Run,
    finish,
)

READERS_PER_ATTACK = 0.3

# Once loading has worked it must go on working, since policy.npz is replaced as a whole.
LOAD_POLICY = """
import sys, time, espo_jax
loaded = False
for _ in range(50):
    try:
        espo_jax.load_policy(sys.argv[1])
        loaded = True
    except ValueError:
        if loaded:
            raise
    time.sleep(0.05)
"""


@dataclasses.dataclass
class Hit:
    """One attack that came before the process had ended.

    Attributes:
      attack: name of the attack.
      phase: what the run was doing.
      code: exit code of the process.
      same: whether the run ended as the run that was left alone.
      resume_seconds: duration of the resume that followed and was left alone.
    """

    attack: str
    phase: str
    code: int
    same: bool = False
    resume_seconds: float | None = None


class Soak:
    """The rounds, what was hit in them, and what was wrong."""

    def __init__(self, folder: Path, processes: Processes, seed: int):
        """Nothing is started yet."""
        self.folder, self.processes, self.rng = folder, processes, random.Random(seed)
        self.hits: list[Hit] = []
        self.problems: list[str] = []
        self.reading: list[tuple[str, subprocess.Popen]] = []
        self.num_rounds = self.num_reads = 0
        self.durations: dict[str, float] = {}
        self.reference: dict[str, Any] = {}

    def leave_alone(self) -> None:
        """Train twice undisturbed. The first run compiles; the second one is timed, and is the reference."""
        for name in ("compiled", "reference"):
            run, times = Run(self.folder / name), [time.perf_counter()]
            process = self.processes.train(run.path)
            for passed in (run.writes, run.iterates, lambda: False):
                wait(process, passed)
                times.append(time.perf_counter())
            code, errors = finish(process)
            if code:
                raise SystemExit(f"the run that is left alone ends with {code}: {errors}")
            pairs = zip((STARTING, COMPILING, TRAINING), itertools.pairwise(times), strict=True)
            self.durations = {phase: after - before for phase, (before, after) in pairs}
        self.reference = run.outcome()

    def round(self, names: Sequence[str]) -> None:
        """One run: it is disturbed several times and then left to finish."""
        self.num_rounds += 1
        run_dir = self.folder / f"round-{self.num_rounds}" / "run"
        run_dir.parent.mkdir()
        hits: list[Hit] = []
        num_problems = len(self.problems)
        for name in names:
            if ATTACKS[name].in_resume and not run_dir.exists():
                hits += self.attack("kill", run_dir, TRAINING)  # there must be something to resume
            hits += self.attack(name, run_dir, self.rng.choice((STARTING, COMPILING, COMPILING, *4 * (TRAINING,))))
        self.complete(run_dir, hits)
        self.check_readers()
        self.hits += hits  # those of a round that Ctrl-C ends are not counted
        if len(self.problems) == num_problems:
            shutil.rmtree(run_dir.parent)

    def attack(self, name: str, run_dir: Path, moment: str) -> list[Hit]:
        """Begin a run or go on with it, and disturb it; nothing is hit if the run had ended before."""
        attack, run = ATTACKS[name], Run(run_dir)
        stdout, reader = self.processes.stdout_of(attack.stdout)
        process = self.processes.train(run_dir, stdout)
        os.close(stdout)
        self.wait_for(moment, process, run, attack)
        if self.rng.random() < READERS_PER_ATTACK and not self.reading:
            self.read_beside(run_dir)
        in_time, phase = process.poll() is None, run.phase()
        if in_time:
            attack.strike(process, reader, self.rng)
        code, errors = finish(process)
        what = f"{name} while {phase}" if in_time else f"{name} that came too late"
        print(f"{what}: exit code {code}, {run.lines()} iterations", flush=True)
        if code not in (attack.codes(phase) if in_time else {0}) or (phase == TRAINING and "Traceback" in errors):
            self.note(run_dir, f"{what}: exit code {code}: {errors[-2000:]}")
        if (
            attack.stdout != "null"
            and in_time
            and phase != ENDING
            and code == 0
            and not run.result().get("lost_output")
        ):
            self.note(run_dir, f"{what}: result.json does not say that the output was lost")
        for stray in set(run_dir.parent.iterdir()) - {run_dir}:
            if not stray.name.startswith(".espo-"):
                self.note(run_dir, f"{what}: {stray} is left")
        return [Hit(name, phase, code)] if in_time else []

    def wait_for(self, moment: str, process: subprocess.Popen, run: Run, attack: Attack) -> None:
        """Wait for a random time within what the run does at that moment."""
        longest = self.durations[moment]
        if attack.in_resume:
            moment, longest = COMPILING, 1.0
        wait(process, {STARTING: lambda: True, COMPILING: run.writes, TRAINING: run.iterates}[moment])
        if moment == TRAINING:
            longest *= 1 - run.lines() / ITERATIONS
        pause(process, self.rng.uniform(0, longest))
        if attack.in_save:
            wait(process, run.saves)
            pause(process, self.rng.uniform(0, 0.02))

    def complete(self, run_dir: Path, hits: Sequence[Hit]) -> None:
        """Let the run go on to its end, if it has not come there, and compare."""
        run, begin = Run(run_dir), time.perf_counter()
        if not (run_dir / "result.json").exists() or run.result()["status"] != "finished":
            code, errors = finish(self.processes.train(run_dir))
            if code:
                self.note(run_dir, f"resume: exit code {code}: {errors[-2000:]}")
            elif hits:
                hits[-1].resume_seconds = time.perf_counter() - begin
        try:
            outcome = run.outcome()
            different = [name for name, value in self.reference.items() if outcome[name] != value]
        except (OSError, LookupError, ValueError) as error:
            different = [repr(error)]
        if different:
            self.note(run_dir, f"the run ends differently: {', '.join(different)}")
        for hit in hits:
            hit.same = not different

    def read_beside(self, run_dir: Path) -> None:
        """Start a command that reads the folder."""
        commands = {
            "plot": (*ESPO, "plot", run_dir, "--output", self.folder / "plot.png"),
            "eval": (*ESPO, "eval", run_dir, "--episodes", "4", "--output", self.folder / "eval.json"),
            "load_policy": (sys.executable, "-c", LOAD_POLICY, run_dir),
        }
        name = self.rng.choice(("plot", "plot", "eval", "load_policy", "load_policy"))
        self.reading.append((name, self.processes.start(*commands[name])))

    def check_readers(self) -> None:
        """Wait for the commands beside the run: they end well, or refuse in one line."""
        for name, process in self.reading:
            code, errors = finish(process)
            self.num_reads += 1
            if (code, errors.count("\n")) not in ((0, 0), (2, 1)) or "Traceback" in errors:
                self.note(self.folder, f"{name} beside a run: exit code {code}: {errors[-2000:]}")
        self.reading.clear()

    def note(self, run_dir: Path, problem: str) -> None:
        """Keep a problem for the report, and print it."""
        self.problems.append(f"{run_dir}: {problem}")
        print(f"PROBLEM: {self.problems[-1]}", flush=True)

    def report(self) -> list[str]:
        """A Markdown table of the attacks."""
        lines = ["| attack | times | while starting, training, ending | same to the bit | exit codes | resume (s) |"]
        lines.append("|---|---|---|---|---|---|")
        for name in ATTACKS:
            hits = [hit for hit in self.hits if hit.attack == name]
            if not hits:
                continue
            phases = ", ".join(str(sum(hit.phase == phase for hit in hits)) for phase in (STARTING, TRAINING, ENDING))
            codes = ", ".join(map(str, sorted({hit.code for hit in hits})))
            resumes = [hit.resume_seconds for hit in hits if hit.resume_seconds]
            seconds = f"{statistics.median(resumes):.1f}" if resumes else ""
            same = sum(hit.same for hit in hits)
            lines.append(f"| {name} | {len(hits)} | {phases} | {same} | {codes} | {seconds} |")
        return [*lines, "", f"{self.num_reads} commands read the folder of a run beside it."]


def in_turn(names: Sequence[str], rng: random.Random) -> Iterator[str]:
    """The names again and again, in another order each time."""
    while True:
        yield from rng.sample(names, len(names))


def wait(process: subprocess.Popen, passed: Callable[[], bool]) -> None:
    """Wait until something is so, or the process has ended."""
    while process.poll() is None and not passed():
        time.sleep(0.001)


def pause(process: subprocess.Popen, seconds: float) -> None:
    end = time.perf_counter() + seconds
    wait(process, lambda: time.perf_counter() >= end)


def flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rounds", type=int, help="number of attacks, in place of the minutes")
    parser.add_argument("--attacks", default=",".join(ATTACKS), help="names, separated by commas")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--companion", action=argparse.BooleanOptionalAction, default=True, help="train beside, and measure its memory"
    )
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    found = parser.parse_args()
    if unknown := set(found.attacks.split(",")) - set(ATTACKS):
        parser.error(f"unknown attacks: {', '.join(sorted(unknown))}")
    return found


def main() -> int:
    options = flags()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it runs in the background
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("ended by a signal"))
    folder = Path(tempfile.mkdtemp(prefix="espo-soak-"))
    processes = Processes(folder)
    soak = Soak(folder, processes, options.seed)
    names = in_turn(options.attacks.split(","), soak.rng)
    try:
        soak.leave_alone()
        companion = Companion(processes, folder / "companion") if options.companion else None
        end = time.monotonic() + 60 * options.minutes
        with contextlib.suppress(KeyboardInterrupt):  # what was found until then is reported
            while len(soak.hits) < options.rounds if options.rounds else time.monotonic() < end:
                soak.round([next(names) for _ in range(soak.rng.choice((1, 1, 2, 3)))])
        if companion and companion.process.poll() is not None:
            soak.note(folder, f"the companion ended: {finish(companion.process)}")
        if companion:
            companion.stop()
        report = "\n".join(
            [*soak.report(), "", *(companion.report() if companion else []), "", *soak.problems]
        ).rstrip()
        print(report)
        if options.output:
            options.output.write_text(report + "\n")
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # a second signal must not leave processes and folders behind
        processes.end_all()
        remove(folder, keep_rounds=bool(soak.problems))
    return int(bool(soak.problems))


def remove(folder: Path, keep_rounds: bool) -> None:
    """Remove all but the rounds with problems and the reference."""
    for each in folder.iterdir() if keep_rounds else (folder,):
        if each.is_file():
            each.unlink()
        elif not each.name.startswith(("round-", "reference")):
            shutil.rmtree(each)


if __name__ == "__main__":
    sys.exit(main())
