"""The folder of a sweep: manifest.json, metrics/, lanes.parquet, and for each group checkpoints and policies."""

import contextlib
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from espo_jax.runs import files
from espo_jax.runs.files import DamagedError
from espo_jax.runs.place import BusyError, TakenError, lock, rename_to_unused, usable
from espo_jax.runs.surroundings import surroundings
from espo_jax.sweeps import columns
from espo_jax.sweeps.manifest import MOST_BYTES, Group, Manifest
from espo_jax.sweeps.plan import Lane

MANIFEST, METRICS, LANES, GROUPS = "manifest.json", "metrics", "lanes.parquet", "groups"
CONFIG, POLICIES, CHECKPOINTS = "config.json", "policies.npz", "checkpoints"
_WAIT_SECONDS = 600.0  # for another process that writes the manifest or the table of lanes


class SweepFolder:
    """A folder that holds a sweep. Several processes may work on it, each on groups of its own.

    Attributes:
      path: the folder.
      manifest: its manifest, as it was when the folder was opened.
    """

    def __init__(self, path: Path, manifest: Manifest):
        """Take a folder and its manifest; see `plan` and `open`."""
        self.path, self.manifest = path, manifest

    @classmethod
    def open(cls, path: str | Path) -> "SweepFolder":
        """Open the folder of a sweep to read it, or to go on with it.

        Raises:
          DamagedError: its manifest is missing or damaged.
        """
        path = Path(path)
        return cls(path, Manifest.read(path / MANIFEST))

    @staticmethod
    def check(path: str | Path) -> None:
        """Refuse a folder that exists and is no sweep; it takes no time, unlike a check of the lanes.

        Raises:
          ValueError: the folder has something else.
          DamagedError: its manifest is damaged.
        """
        path = usable(Path(path))
        if not path.exists():
            return
        if not (path / MANIFEST).exists():
            raise ValueError(f"{path} exists and has no {MANIFEST}: it is no sweep, and is never overwritten")
        Manifest.read(path / MANIFEST)

    @classmethod
    def plan(cls, path: str | Path, lanes: Sequence[Lane], lanes_per_group: int) -> "SweepFolder":
        """Write the manifest of a sweep: of a new one, or of one that goes on and may have become wider.

        Args:
          path: the folder.
          lanes: the lanes that are asked for.
          lanes_per_group: the largest number of lanes of a new group.

        Raises:
          ValueError: the folder has another sweep, or something else.
          OSError: it cannot be written to.
        """
        path = usable(Path(path))
        if not path.exists():
            manifest = Manifest(()).widened(lanes, lanes_per_group)
            building = path.parent / f".espo-{uuid.uuid4().hex[:12]}"
            try:
                building.mkdir(parents=True)
                _write_manifest(building, manifest, [])
                rename_to_unused(building, path)
                return cls(path, manifest)
            except TakenError:  # another process was faster
                shutil.rmtree(building, ignore_errors=True)
            except BaseException:
                shutil.rmtree(building, ignore_errors=True)
                raise
        cls.check(path)
        with _locked(path / ".manifest.lock", path, wait=True):
            content = files.parse_json(files.read(path / MANIFEST, MOST_BYTES), str(path / MANIFEST))
            try:
                manifest = Manifest.read(path / MANIFEST).widened(lanes, lanes_per_group)
            except DamagedError:
                raise
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from None
            _write_manifest(path, manifest, content.get("history", []))
        return cls(path, manifest)

    def group_path(self, group: Group) -> Path:
        """Folder of a group."""
        return self.path / GROUPS / group.name

    @contextlib.contextmanager
    def locked(self, group: Group) -> Iterator[None]:
        """Within this context no other process can work on a group.

        Raises:
          BusyError: another process works on it.
          OSError: the folder cannot be written to.
        """
        self.group_path(group).mkdir(parents=True, exist_ok=True)
        with _locked(self.group_path(group) / ".lock", self.group_path(group)):
            yield

    def metrics_path(self, group: Group, part: int) -> Path:
        """A file of metrics of a group's lanes."""
        return self.path / METRICS / f"{group.name}-{part:05}.parquet"

    def write_metrics(self, group: Group, part: int, tables: Sequence[pa.Table]) -> None:
        """Write the iterations of a group since the part before."""
        (self.path / METRICS).mkdir(exist_ok=True)
        columns.write(pa.concat_tables(tables).unify_dictionaries(), self.metrics_path(group, part))

    def go_back_to(self, group: Group, parts: int) -> None:
        """Remove the parts that are newer than a checkpoint, which knows this many; they are written again."""
        for path in (self.path / METRICS).glob(f"{group.name}-*.parquet"):
            if int(path.stem.rpartition("-")[2]) >= parts:
                path.unlink()

    def read_metrics(self, group: Group, names: Sequence[str] | None = None, **equal: Any) -> pa.Table | None:
        """Rows of a group's lanes; None if there are none yet.

        Args:
          group: the group.
          names: the columns to read; None stands for all.
          **equal: values that columns must have.

        Raises:
          DamagedError: a file cannot be read.
        """
        paths = sorted((self.path / METRICS).glob(f"{group.name}-*.parquet"))
        return columns.read(paths, names, **equal) if paths else None

    def write_group_rows(self, group: Group, rows: Sequence[dict[str, Any]]) -> None:
        """Write the rows of a group's lanes."""
        columns.write(columns.rows_table(rows), self.group_path(group) / LANES)

    def write_lanes(self) -> None:
        """Write the table of all lanes: those too that other processes added since. For 10,000 it takes seconds."""
        with _locked(self.path / ".lanes.lock", self.path, wait=True):
            columns.write(columns.rows_table(SweepFolder.open(self.path).rows()), self.path / LANES)

    @property
    def is_current(self) -> bool:
        """Whether the table of all lanes has what was written before; a process may have been killed in between."""
        table = self.path / LANES
        parts = [self.path / MANIFEST, *(self.path / GROUPS).glob(f"*/{LANES}")]
        return table.exists() and all(part.stat().st_mtime_ns <= table.stat().st_mtime_ns for part in parts)

    def group_rows(self, group: Group) -> list[dict[str, Any]]:
        """The rows of a group's lanes that were written; none before it began.

        Raises:
          DamagedError: the file cannot be read.
        """
        path = self.group_path(group) / LANES
        return columns.read([path]).to_pylist() if path.exists() else []

    def rows(self) -> list[dict[str, Any]]:
        """The rows of all lanes, in the order of the manifest; of those that have not begun only their settings."""
        found = []
        for group in self.manifest.groups:
            written = {row[columns.LANE]: row for row in self.group_rows(group)}
            found += [
                {**lane_row(lane, self.manifest.num_constraints), **written.get(lane.id, {})} for lane in group.lanes
            ]
        return found

    def find(self, lane: str) -> tuple[Group, Lane]:
        """A lane by its name, or by the beginning of its name, and its group.

        Raises:
          ValueError: there is no such lane, or several.
        """
        found = [(group, each) for group in self.manifest.groups for each in group.lanes if each.id.startswith(lane)]
        if len(found) != 1:
            what = "no lane" if not found else f"{len(found)} lanes"
            raise ValueError(f"lane is {lane!r}: {self.path} has {what} whose name begins so; {LANES} has all names")
        return found[0]


def lane_row(lane: Lane, num_constraints: int) -> dict[str, Any]:
    """The part of a lane's row that is known before it begins.

    Args:
      lane: the lane.
      num_constraints: the largest K of the sweep.
    """
    options, hyperparams = lane.config.options, lane.config.hyperparams
    limits = hyperparams["cost_limit"]
    varied = {name: ":".join(map(str, v)) if isinstance(v, tuple) else v for name, v in lane.varied.items()}
    limits, names = np.atleast_1d(limits), columns.names_of("cost_limit", num_constraints)
    return {
        columns.LANE: lane.id,
        "task": options.task,
        "backend": options.backend,
        "algorithm": options.algorithm,
        "seed": options.seed,
        **varied,
        **{name: float(limit) for name, limit in zip(names, limits, strict=False)},
        "status": "planned",
    }


def _write_manifest(path: Path, manifest: Manifest, history: Sequence[Any]) -> None:
    """Write manifest.json.

    Args:
      path: folder of the sweep.
      manifest: the manifest.
      history: what was written of earlier requests for lanes; this request is added to it.
    """
    asked = {"time": time.strftime("%Y-%m-%d %H:%M:%S"), "lanes": len(manifest.lanes), **surroundings()}
    files.write_json(path / MANIFEST, {**manifest.as_json(), "history": [*history, asked]})


@contextlib.contextmanager
def _locked(path: Path, what: Path, *, wait: bool = False) -> Iterator[BinaryIO]:
    """Lock a file for this process; the lock ends with the process.

    Args:
      path: the file, which is made.
      what: what is locked, for the message.
      wait: whether to wait, up to ten minutes, until another process is done.
    """
    end = time.monotonic() + (_WAIT_SECONDS if wait else 0)
    with path.open("ab") as file:
        while True:
            try:
                lock(file, what)
                break
            except BusyError:
                if time.monotonic() >= end:
                    raise
                time.sleep(0.05)
        yield file
