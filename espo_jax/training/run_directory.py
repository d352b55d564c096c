"""A run's folder: config.json, metrics.jsonl, policy.npz, checkpoints/, result.json, curves.png (see `files`)."""

import contextlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import flax.serialization
import flax.traverse_util
import jax
import numpy as np

try:
    import fcntl
except ImportError:  # Windows has no such lock
    fcntl = None  # type: ignore[assignment]

from espo_jax import modes
from espo_jax.algorithms.types import Metrics
from espo_jax.training import files
from espo_jax.training.earlier import LATER_METRICS
from espo_jax.training.loggers import Logger, scalars

PACKAGES = ("espo_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "brax", "mujoco", "mujoco-mjx", "numpy")
CONFIG, METRICS, POLICY, BEST_POLICY = "config.json", "metrics.jsonl", "policy.npz", "policy_best_safe.npz"
EVALUATIONS, RESULT, CURVES, CHECKPOINTS = "evaluations.jsonl", "result.json", "curves.png", "checkpoints"
MAX_LINE_BYTES = 2**20
# Fields of Metrics that are lists where there are several constraints, and those that may be infinite.
_BY_CONSTRAINT = {"episode_cost", "cost_limit", "slack_positive", "slack_negative", "multiplier", "critic_loss"}
_INFINITE = {"cost_limit", "slack_positive", "slack_negative"}


class RunDirectory:
    """A folder that this run alone writes to.

    Attributes:
      path: the folder.
      records: what metrics.jsonl holds so far, one dict per iteration (see `record`).
      loggers: where every line goes as well.
    """

    def __init__(self, path: str | Path, *, metrics: bool = True, exist: bool = False):
        """Creates the folder, and its parents where needed; with metrics.jsonl if it is to have metrics.

        Args:
          path: the folder.
          metrics: whether it is to have metrics.jsonl.
          exist: go on in a folder that a run left behind; `records` are the lines that can be read.

        Raises:
          FileExistsError: it exists and should not; nothing in it is touched.
          OSError: it cannot be made or written to, or another process writes to it.
          DamagedError: it has a link in it.
        """
        self.path = Path(path)
        if exist:
            files.refuse_links(self.path)
        self.records: list[dict[str, Any]] = []
        self.loggers: list[Logger] = []
        self._metrics = None
        try:
            if not exist:
                self.path.mkdir(parents=True)
            if metrics:
                self._metrics = (self.path / METRICS).open("r+b" if exist else "x+b")
            if self._metrics and fcntl:
                fcntl.flock(self._metrics, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileExistsError:
            raise FileExistsError(
                f"run directory {self.path} already exists and is never overwritten; choose another with --run-dir, "
                "or go on with --resume"
            ) from None
        except BlockingIOError:
            raise OSError(f"run directory {self.path} is in use by another process") from None
        except OSError as error:
            advice = "" if exist else "; choose another with --run-dir"
            raise OSError(f"cannot write to run directory {self.path} ({error.strerror}){advice}") from None
        if exist and self._metrics:
            self.records = read_records(self.path / METRICS)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a file of strict JSON."""
        files.write_json(self.path / name, content)

    def append(self, record: dict[str, Any]) -> None:
        """Add one line to metrics.jsonl; it is on its way to the disk when this returns."""
        self.records.append(record)
        if self._metrics:
            try:
                self._metrics.write(_line(record))
                self._metrics.flush()
            except OSError as error:
                raise OSError(f"cannot write {self.path / METRICS} ({error.strerror})") from None
        self._log(record, "training/")

    def append_evaluation(self, line: dict[str, Any]) -> None:
        """Add one line to evaluations.jsonl."""
        with (self.path / EVALUATIONS).open("ab") as file:
            file.write(_line(line))
        self._log(line, "eval/")

    def sync(self) -> None:
        """Return when metrics.jsonl is on the disk, which a checkpoint must not be ahead of."""
        if self._metrics:
            os.fsync(self._metrics.fileno())

    def truncate(self, iteration: int) -> None:
        """Forget what came after an iteration; the run takes it up from there."""
        self.records = self.records[:iteration]
        if self._metrics:
            self._metrics.seek(0)
            for record in self.records:
                self._metrics.write(_line(record))
            self._metrics.truncate()
            self._metrics.flush()
        if (path := self.path / EVALUATIONS).exists():
            kept = [line for line in read_evaluations(path) if line["iteration"] <= iteration]
            files.write(path, b"".join(map(_line, kept)))

    def save_params(self, params: tuple[Any, Any, Any], name: str = POLICY) -> None:
        """Write an npz file: arrays named by their place, such as normalizer/mean and policy/params/log_std."""
        normalizer, policy, critics = params
        tree = flax.serialization.to_state_dict({"normalizer": normalizer, "policy": policy, "critics": critics})
        flat = flax.traverse_util.flatten_dict(tree, sep="/")
        files.write_arrays(self.path / name, {name: np.asarray(value) for name, value in flat.items()})

    def close(self) -> None:
        """Close metrics.jsonl and the loggers."""
        if self._metrics:
            with contextlib.suppress(OSError):  # what a full disk refused was reported
                self._metrics.close()
        for logger in self.loggers:
            with contextlib.suppress(Exception):
                logger.close()

    def _log(self, line: Mapping[str, Any], prefix: str) -> None:
        """Copies for elsewhere; what goes wrong there does not end a run of hours."""
        for logger in tuple(self.loggers):
            try:
                logger.log(line["env_steps"], scalars(line, prefix))
            except Exception as error:
                self.loggers.remove(logger)
                print(f"espo: warning: {type(logger).__name__} logs no more ({error})", file=sys.stderr)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a jsonl file up to the first that is not whole.

    Raises:
      OSError: it cannot be read.
    """
    with path.open("rb") as file:
        while (line := file.readline(MAX_LINE_BYTES)).endswith(b"\n"):
            try:
                yield files.infinities(files.parse_json(line, path.name))
            except files.DamagedError:
                return


def read_records(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl up to the first that is not whole, not in order or not a record.

    Raises:
      OSError: it cannot be read.
    """
    records: list[dict[str, Any]] = []
    for line in read_lines(path):
        if line.get("iteration") != len(records) + 1 or not _is_record(line, records[0] if records else None):
            break
        records.append(line)
    return records


def read_evaluations(path: Path) -> list[dict[str, Any]]:
    """The lines of an evaluations.jsonl up to the first that is not whole or not an evaluation.

    Raises:
      OSError: it cannot be read.
    """
    found: list[dict[str, Any]] = []
    for line in read_lines(path):
        sizes = [_size(line.get(name)) for name in ("iteration", "env_steps", "reward", "cost")]
        if sizes[:3] != [0, 0, 0] or sizes[3] is None or (found and sizes[3] != _size(found[0]["cost"])):
            break
        found.append(line)
    return found


def _is_record(line: Mapping[str, Any], first: Mapping[str, Any] | None) -> bool:
    """Whether a line has what `record` writes, in the same form as the first."""
    counts, speed = line.get("mode_counts"), line.get("steps_per_second", 0)
    return (
        line.get("mode") in modes.MODE_NAMES
        and _size(speed) == 0
        and speed > 0
        and isinstance(counts, dict)
        and all(_size(counts.get(name)) == 0 for name in modes.MODE_NAMES)
        and all(
            (size := _size(line.get(name))) is not None
            and (size == 0 or name in _BY_CONSTRAINT)
            and (first is None or name not in first or size == _size(first[name]))
            and (name in _INFINITE or np.isfinite(line[name]).all())
            for name in Metrics._fields
            if name not in ("mode", "mode_counts") and (name in line or name not in LATER_METRICS)
        )
    )


def _size(value: Any) -> int | None:
    """0 of a number, else how many numbers a list holds; None of anything else."""
    values = value if isinstance(value, list) and value else [value]
    if not all(isinstance(x, float) or (type(x) is int and abs(x) < 2**63) for x in values):
        return None
    return len(value) if isinstance(value, list) else 0


def default_path(task: str, algorithm: str, seed: int) -> Path:
    """runs/<task>-<algorithm>-seed<seed>-<local time>."""
    return Path("runs") / f"{task}-{algorithm}-seed{seed}-{time.strftime('%Y%m%d-%H%M%S')}"


def record(metrics: Metrics, seconds: float) -> dict[str, Any]:
    """An iteration as a line of metrics.jsonl.

    Every field of Metrics under its name, a number or a list [K]; but mode by name, mode_counts by mode name, and
    steps_per_second in addition.
    """
    line = {name: np.asarray(value).squeeze().tolist() for name, value in metrics._asdict().items()}
    line["mode"] = modes.MODE_NAMES[line["mode"]]
    line["mode_counts"] = dict(zip(modes.MODE_NAMES, line["mode_counts"], strict=True))
    return {**line, "steps_per_second": line["sample_size"] / seconds}


def surroundings() -> dict[str, Any]:
    """What a run's numbers depend on beside its settings: versions, device and git revision."""
    device = jax.devices()[0]
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "device": {"platform": device.platform, "kind": device.device_kind, "count": jax.device_count()},
        "machine": f"{platform.system()} {platform.machine()}",
        "command": sys.argv,
        "git_revision": _git_revision(),
    }


def _git_revision() -> str | None:
    """Of the code's own repository, with "-dirty" where it is changed; None where there is none."""

    def git(*command: str) -> str:
        here = ["git", "-C", str(Path(__file__).parent), *command]
        return subprocess.run(here, capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # an installed copy may lie in somebody else's
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.SubprocessError):
        return None


def _line(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(files.strict(record), allow_nan=False) + "\n").encode()
