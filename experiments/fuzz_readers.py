"""Damage a run directory at random and read it, for a time; every refusal must be one line.

    python experiments/fuzz_readers.py --minutes 20
    python experiments/fuzz_readers.py --case 123 --base FOLDER   # one case again, with its traceback

A process does the cases, and another one watches it. A case is good if the reader returns, or refuses by one of the
documented errors, in one line without control characters if it is a command. It is a finding if it raises something
else, hangs, crashes, takes more memory than the bound, or changes a file outside of the run directory. Findings are
kept in a folder. Linux only.
"""

import argparse
import collections
import contextlib
import faulthandler
import io
import json
import os
import random
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fuzz_damage import damage

TRAIN = [
    "train", "--task", "safety_reacher", "--backend", "spring", "--num-iterations", "4", "--base-sample-size", "1600",
    "--num-envs", "8", "--block-size", "800", "--checkpoint-iterations", "2", "--eval-interval", "2",
    "--num-eval-episodes", "2", "--episode-length", "100", "--cost-limit", "10000", "--policy-hidden-sizes", "8",
    "--critic-hidden-sizes", "8",
]  # fmt: skip
MOST_SECONDS, SECONDS_TO_START = 120, 300  # of a reader, which may compile on a busy machine; of a process
MOST_ADDRESSES, MOST_MEMORY = 2**31, 2**29  # bytes beyond those of the undamaged run
CASES_OF_A_PROCESS = 400
OUTSIDE = b"the file of somebody else\n"


class Reader(NamedTuple):
    """A way to read a run.

    Args:
      weight: how often it is chosen.
      files: patterns of the files that it reads.
      read: reads a run directory; a command returns its exit code.
      is_command: whether it is a command, which must not raise anything.
    """

    weight: float
    files: tuple[str, ...]
    read: Callable[[Path], Any]
    is_command: bool = False


class Finding(Exception):
    """A reader did what it must not do."""


def readers(base: Path) -> dict[str, Reader]:
    """All readers by name. What is slow after reading, compiling and training, is left out."""
    import espo_jax.results.replay
    from espo_jax.cli import main, train
    from espo_jax.results.read import read_run
    from espo_jax.results.task import task_of
    from espo_jax.runs import prepare, records
    from espo_jax.runs.policies import load_policy
    from espo_jax.runs.restore import restore
    from espo_jax.runs.run_config import RunConfig

    def stop(*_: Any) -> None:
        sys.exit(0)  # what follows is not reading

    espo_jax.results.replay.start = stop
    train.execute = lambda prepared, stop: prepared.directory.close() or 0
    config = RunConfig.read(base)
    env = task_of(config)
    like = prepare._rebuild(config, env, base)[3]
    settings, everything, policy = config.identity(), ("**/*",), ("config.json", "policy.npz")

    def command(weight: float, name: str, *flags: str, files: tuple[str, ...] = everything) -> Reader:
        # A relative path, for output of any length not to depend on the folder of the case.
        return Reader(weight, files, lambda run: main([*name.split(), str(run), *flags]), is_command=True)

    return {
        "RunConfig.read": Reader(8, ("config.json",), RunConfig.read),
        "read_run": Reader(8, ("config.json", "metrics.jsonl"), read_run),
        "read_evaluations": Reader(3, ("*.jsonl",), lambda run: records.read_evaluations(run / "evaluations.jsonl")),
        "load_policy": Reader(12, policy, load_policy),
        "load_policy best": Reader(1, ("policy_best_safe.npz",), lambda run: load_policy(run, best_safe=True)),
        "restore": Reader(12, ("checkpoints/**/*",), lambda run: restore(run / "checkpoints", like, settings)),
        "plot": command(4, "plot", "--output", "plot.png", files=("config.json", "metrics.jsonl")),
        "report": command(1, "report", "--output", "report.html"),
        "onnx": command(4, "export", "--formats", "onnx", "--output", ".", files=policy),
        "stablehlo": command(0.2, "export", "--output", ".", files=policy),
        "replay": command(1, "replay"),
        "resume": command(2, "train --resume"),
        "eval": command(0.2, "eval", "--episodes", "1", "--output", "eval.json", files=policy),
    }


class Fuzz:
    """One case after the other, in this process."""

    def __init__(self, base: Path):
        """Read the undamaged run by every reader, and bound the memory."""
        self.base, self.readers = base.absolute(), readers(base)
        for name in self.readers:
            with new_folder() as folder, contextlib.chdir(folder):
                self.read(name, Path(shutil.copytree(self.base, "run")))
        addresses = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (addresses + MOST_ADDRESSES,) * 2)

    def case(self, number: int) -> Iterator[dict[str, Any]]:
        """Do one case: yields what it is, and then its end; that of a finding has a kind, and details."""
        with new_folder() as folder:
            name, damages = prepare_case(self.readers, self.base, folder, number)
            yield {"case": number, "reader": name, "damage": damages}
            before, memory = outside_of(folder), most_memory()
            try:
                with contextlib.chdir(folder):
                    self.read(name, Path("run"))
                if outside_of(folder) != before:
                    raise Finding("a file outside of the run directory is changed")
                if most_memory() - memory > MOST_MEMORY:
                    raise Finding(f"it took {(most_memory() - memory) / 2**20:.0f} MB")
            except BaseException as error:
                details = "".join(traceback.format_exception(error, limit=-25))[-20_000:]
                yield {"kind": f"{type(error).__name__} {place_of(error)}", "details": details}
            else:
                yield {}

    def read(self, name: str, run_dir: Path) -> None:
        """Read a run directory; raises what is a finding."""
        reader = self.readers[name]
        with streams() as (output, errors), warnings.catch_warnings(record=True) as warned:
            try:
                code = reader.read(run_dir)
            except (ValueError, OSError):
                if reader.is_command:
                    raise
                return
            except SystemExit as ended:
                code = ended.code
        for warning in warned:
            if warning.category is not UserWarning:
                raise Finding(f"{warning.category.__name__} at {warning.filename}:{warning.lineno}: {warning.message}")
        if reader.is_command:
            check_command(code, text_of(output), text_of(errors), [str(warning.message) for warning in warned])


def check_command(code: Any, output: str, errors: str, warned: list[str]) -> None:
    """Raise a Finding unless a command ended well, or refused in one line."""
    if code not in (0, 2, 3):
        raise Finding(f"exit code {code!r}: {errors[-3000:]!r}")
    if errors.count("\n") > 1 or (code and errors.count("\n") != 1) or "Traceback" in errors:
        raise Finding(f"exit code {code} with {errors.count(chr(10))} lines of errors: {errors[-3000:]!r}")
    for name, text in (("output", output), ("error", errors), *(("warning", text) for text in warned)):
        raw = {c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs")}
        if raw:
            raise Finding(f"{name} with {raw!a}")
    if len(errors) > 10_000:
        raise Finding(f"an error of {len(errors)} characters")


def prepare_case(names: dict[str, Reader], base: Path, folder: Path, number: int) -> tuple[str, list[str]]:
    """Make the damaged run directory of a case.

    Returns:
      Name of the reader, and the damage.
    """
    rng = random.Random(number)
    name = rng.choices(list(names), [reader.weight for reader in names.values()])[0]
    run_dir, outside = folder / "run", folder / "outside"
    shutil.copytree(base, run_dir)
    outside.write_bytes(OUTSIDE)
    targets = sorted({path for pattern in names[name].files for path in run_dir.glob(pattern)})
    return name, [text.replace(f"{folder}/", "") for text in damage(targets, outside, rng)]


@contextlib.contextmanager
def new_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="espo-fuzz-case-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def streams() -> Iterator[tuple[io.TextIOWrapper, io.TextIOWrapper]]:
    """Standard output and errors as of a UTF-8 terminal, in memory."""
    output = io.TextIOWrapper(io.BytesIO(), "utf-8", "strict", write_through=True)
    errors = io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace", write_through=True)
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        yield output, errors


def text_of(stream: io.TextIOWrapper) -> str:
    return stream.buffer.getvalue().decode()  # type: ignore[attr-defined]


def outside_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "outside", folder / "kept") if path.exists()}


def most_memory() -> int:
    """Bytes that this process has taken at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def place_of(error: BaseException) -> str:
    """The last line of espo_jax that an error came through; the message of a Finding, but for its numbers."""
    if isinstance(error, Finding):
        return "".join(c for c in str(error)[:60] if not c.isdigit())
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/espo_jax/" in frame.filename]
    return f"at {frames[-1].filename.split('/espo_jax/')[-1]}:{frames[-1].lineno}" if frames else "elsewhere"


def work(base: Path, cases: range) -> None:
    """Do cases, and print what they are before, and how they ended after it."""
    faulthandler.enable()
    report = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    fuzz = Fuzz(base)
    for number in cases:
        for line in fuzz.case(number):
            print(json.dumps(line), file=report, flush=True)


class Watch:
    """Starts processes that do cases, one after the other, and keeps their findings."""

    def __init__(self, folder: Path, seed: int):
        """Nothing is started yet."""
        self.folder, self.next_case = folder, seed * 10**6
        self.num_cases: collections.Counter[str] = collections.Counter()
        self.findings: dict[str, list[str]] = collections.defaultdict(list)
        # The cache is shared so that every process does not compile again.
        folders = {"TMPDIR": str(folder / "cases"), "JAX_COMPILATION_CACHE_DIR": str(folder / "cache")}
        self._environment = {**os.environ, **folders}

    def until(self, end: float) -> None:
        """Start one process, and watch it until its cases are done, it hangs or crashes, or the time is over."""
        (self.folder / "cases").mkdir()
        command = [sys.executable, __file__, "--base", self.folder / "base", "--work", self.next_case]
        with tempfile.TemporaryFile() as errors:
            worker = subprocess.Popen(
                [*map(str, command)], stdout=subprocess.PIPE, stderr=errors, env=self._environment
            )
            try:
                ending = self._follow(worker, end)
            finally:
                worker.kill()
                worker.wait()
                shutil.rmtree(self.folder / "cases")
            if ending:
                errors.seek(0)
                details = errors.read().decode(errors="replace")[-5000:]
                if not self._running:
                    raise SystemExit(f"the undamaged run cannot be read: {ending}\n{details}")
                self._note(ending, details)

    def _follow(self, worker: subprocess.Popen, end: float) -> str:
        """Read what a process prints; returns how it ended badly, or nothing."""
        self._running, limit = None, SECONDS_TO_START
        while time.monotonic() < end:
            if not select.select([worker.stdout], [], [], limit)[0]:
                return "hang"
            if not (line := worker.stdout.readline()):
                code = worker.wait()
                return f"crash with exit code {code}" if code else ""
            limit, content = MOST_SECONDS, json.loads(line)
            if "case" in content:
                self._running, self.next_case = content, content["case"] + 1
                self.num_cases[content["reader"]] += 1
            elif content:
                self._note(content["kind"], content["details"])
        return ""

    def _note(self, kind: str, details: str) -> None:
        """Keep a finding; it is new if no reader ended so before."""
        running = self._running
        what = f"case {running['case']}, {running['reader']}: {'; '.join(running['damage'])}"
        if not self.findings[kind]:
            print(f"{kind}\n  {what}\n  {(details.strip().splitlines() or [''])[-1][:300]}", flush=True)
        self.findings[kind].append(f"{what}\n\n{details}")

    def report(self, minutes: float) -> str:
        """How many cases there were, and every kind of finding with its first cases."""
        total, kinds = sum(self.num_cases.values()), sorted(self.findings.items(), key=lambda item: -len(item[1]))
        counts = ", ".join(f"{name} {count}" for name, count in self.num_cases.most_common())
        lines = [f"{total} cases in {minutes:.0f} minutes ({total / minutes:.0f} a minute): {counts}."]
        lines += (
            [f"{len(kinds)} kinds of findings.", "", "| finding | times |", "|---|---|"] if kinds else ["No finding."]
        )
        return "\n".join([*lines, *(f"| {kind} | {len(cases)} |" for kind, cases in kinds)])

    def write_findings(self) -> Path:
        """Write the first three cases of every kind of finding to a file."""
        path = self.folder / "findings.txt"
        texts = [f"=== {kind}\n\n" + "\n".join(cases[:3]) for kind, cases in self.findings.items()]
        path.write_text("\n\n".join(texts), errors="backslashreplace")
        return path


def flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--base", type=Path, help="undamaged run directory of --case")
    parser.add_argument("--case", type=int, help="do only this case, and print what came of it")
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    options = flags()
    if options.work is not None:
        work(options.base, range(options.work, options.work + CASES_OF_A_PROCESS))
        return 0
    if options.case is not None:
        for line in Fuzz(options.base).case(options.case):
            print(*(f"{name}: {value}" for name, value in line.items()), sep="\n")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    folder = Path(tempfile.mkdtemp(prefix="espo-fuzz-"))
    subprocess.run([sys.executable, "-m", "espo_jax.cli", *TRAIN, "--run-dir", str(folder / "base")], check=True)
    watch, begin = Watch(folder, options.seed), time.monotonic()
    try:
        while time.monotonic() < begin + 60 * options.minutes:
            watch.until(begin + 60 * options.minutes)
    finally:
        print(watch.report((time.monotonic() - begin) / 60))
        if watch.findings:
            print(f"their cases are in {watch.write_findings()}; --case NUMBER --base {folder / 'base'} does one again")
        else:
            shutil.rmtree(folder)
    return int(bool(watch.findings))


if __name__ == "__main__":
    sys.exit(main())
