"""The cells that are finished: one small Parquet file each, with the curve and all that a reader needs to know."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from espo_jax.modes import MODE_NAMES
from espo_jax.runs import files
from espo_jax.runs.files import DamagedError
from espo_jax.runs.result import FINISHED
from espo_jax.runs.surroundings import surroundings
from espo_jax.sweeps import columns
from espo_jax.sweeps.folder import SweepFolder
from reproduction.variants import VARIANTS, Cell

_ABOUT = b"about"
_WHOLE, _SINGLE = ("iteration", "env_steps", "sample_size"), ("episode_reward", "episode_cost", "conflict_angle", "kl")
_BAND = ("cost_limit", "slack_positive", "slack_negative")
_KEPT = (*_WHOLE, columns.MODE, *_SINGLE, *_BAND, columns.RATE)


@dataclasses.dataclass(frozen=True)
class Curve:
    """A cell whose run has ended.

    Attributes:
      cell: which one it is.
      about: its settings, its row of the table of lanes, versions, and whether it ran on an idle machine.
      values: columns [T], one value for each iteration: `iteration`, `env_steps`, `sample_size`, `mode` (place in
        MODE_NAMES), `episode_reward`, `episode_cost`, `conflict_angle` in degrees, `kl`, `cost_limit`,
        `slack_positive`, `slack_negative`, `steps_per_second`.
    """

    cell: Cell
    about: dict[str, Any]
    values: dict[str, np.ndarray]

    @property
    def samples(self) -> int:
        """Number of samples of the whole run."""
        return int(self.values["env_steps"][-1])

    @property
    def fixed_samples(self) -> int:
        """Number of samples of as many iterations with the base sample size X each."""
        return self._base_size * len(self.values["iteration"])

    @property
    def has_rule(self) -> bool:
        """Whether the sample size may change."""
        return str(self.about["config"]["config"]["sample_size_rule"]) != "fixed"

    def share_of_size(self, zeta: str) -> float:
        """Share of the iterations after the first with X(1 + zeta) samples, the least or the largest size of the rules.

        Args:
          zeta: zeta_negative or zeta_positive.
        """
        bound = round(self._base_size * (1 + self.about["config"]["hyperparams"][zeta]))
        return float(np.mean(self.values["sample_size"][1:] == bound))

    @property
    def _base_size(self) -> int:
        return int(self.about["config"]["config"]["base_sample_size"])

    @property
    def failure(self) -> str | None:
        """What ended the run before its time; None for a run that is finished."""
        row = self.about["row"]
        return None if row["status"] == FINISHED else f"{row['status']}: {row['message']}"

    @property
    def idle(self) -> bool:
        """Whether nothing else ran on the machine."""
        return bool(self.about["idle"])

    @property
    def processor(self) -> str | None:
        """The processor that the machine had. It is None for cells that name the system only, as early ones do."""
        return str(self.about["surroundings"]["machine"]).partition(", ")[2] or None

    @property
    def uncommitted(self) -> bool:
        """Whether the code had changes that were not committed."""
        return str(self.about["surroundings"].get("git_revision", "")).endswith("-dirty")

    @property
    def seconds(self) -> np.ndarray:
        """[T] wall time since the start of training, without compilation, in seconds."""
        return np.cumsum(self._seconds)

    @property
    def hours(self) -> float:
        """Wall time without the iterations in which the process was stopped: those of over ten times the median."""
        return float(np.sum(self._seconds, where=self._seconds <= 10 * np.median(self._seconds)) / 3600)

    @property
    def _seconds(self) -> np.ndarray:
        return self.values["sample_size"] / self.values[columns.RATE].astype(np.float64)

    @property
    def after_warmup(self) -> np.ndarray:
        """[T] whether an iteration comes after the warm-up."""
        return self.values["iteration"] > self.about["config"]["hyperparams"]["warmup_iterations"]

    @property
    def conflicts(self) -> np.ndarray:
        """[T] whether gradient conflict would ask for more samples: the cost in the band, the angle above 90 degrees.

        For every algorithm, also for those that do not look at it.
        """
        cost, limit = self.values["episode_cost"], self.values["cost_limit"]
        above = cost >= limit + self.values["slack_negative"]
        below = cost <= limit + self.values["slack_positive"]
        return self.after_warmup & above & below & (self.values["conflict_angle"] > 90)

    @property
    def limit(self) -> float:
        """The cost limit b."""
        return float(self.values["cost_limit"][0])

    def final(self, name: str, count: int = 20) -> float:
        """Mean of a column over the last iterations."""
        return float(np.mean(self.values[name][-count:], dtype=np.float64))

    def counts(self) -> dict[str, int]:
        """Number of iterations in each mode."""
        return dict(zip(MODE_NAMES, np.bincount(self.values["mode"], minlength=len(MODE_NAMES)).tolist(), strict=True))

    def saved_after(self, mode: str) -> float:
        """How much of the samples that are saved, compared with X, is saved after iterations of a mode, in percent."""
        saved = self._base_size - self.values["sample_size"][1:]
        after = self.values["mode"][:-1] == MODE_NAMES.index(mode)
        return float(100 * np.sum(saved, where=after) / np.sum(saved)) if np.any(saved) else 0.0

    def at(self, name: str, samples: np.ndarray | float) -> np.ndarray:
        """A column, averaged over 20 iterations, at numbers of samples: linear between iterations.

        Args:
          name: the column.
          samples: [P] numbers of samples.
        """
        return np.interp(samples, self.values["env_steps"], smoothed(self.values[name]))


def smoothed(values: np.ndarray, window: int = 20) -> np.ndarray:
    """Mean [T] of each value and those before it, as many as there are up to the window."""
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    ends = np.arange(1, len(values) + 1)
    begins = np.maximum(ends - window, 0)
    return (sums[ends] - sums[begins]) / (ends - begins)


def path_of(root: Path, cell: Cell) -> Path:
    """The file of a cell."""
    return root / f"{cell.name}.parquet"


def keep(root: Path, cell: Cell, folder: SweepFolder, lane: str, idle: bool) -> None:
    """Write the file of a cell whose run has ended.

    Args:
      root: folder of the cells.
      cell: the cell.
      folder: folder of the sweep that has it.
      lane: name of its lane.
      idle: whether nothing else ran on the machine, so that its time may be compared.
    """
    group, found = folder.find(lane)
    table = folder.read_metrics(group, _KEPT, **{columns.LANE: lane})
    row = next(row for row in folder.group_rows(group) if row[columns.LANE] == lane)
    if table is None and row["status"] == FINISHED:
        raise DamagedError(f"{folder.path}: {group.name} has no metrics")
    # A run that failed in its first iteration has none.
    series = pa.table({name: [] for name in _KEPT}) if table is None else table.sort_by("iteration")
    kinds = {**dict.fromkeys(_WHOLE, pa.int64()), columns.MODE: pa.string()}
    kept = pa.table({name: series[name].cast(kinds.get(name, pa.float32())) for name in _KEPT})
    about = {
        "variant": cell.variant.name, "seed": cell.seed, "idle": idle, "row": row,
        "config": found.config.as_json(), "surroundings": surroundings(),
    }  # fmt: skip
    text = json.dumps(files.strict(about), sort_keys=True).encode()
    path = path_of(root, cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    columns.write(kept.replace_schema_metadata({_ABOUT: text}), path)


def read(root: Path, cells: Sequence[Cell]) -> list[Curve]:
    """The cells among some whose runs have ended.

    Raises:
      DamagedError: a file cannot be read.
    """
    return [_read(path, cell) for cell in cells if (path := path_of(root, cell)).exists()]


def read_all(root: Path) -> list[Curve]:
    """All cells that are there, by variant and seed, those too of more seeds than the page asks for.

    Raises:
      FileNotFoundError: there is no such folder.
      DamagedError: a file cannot be read, or its name is no seed.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: there is no such folder of cells")
    names = {variant.name for variant in VARIANTS}
    if unknown := sorted(path for path in root.iterdir() if path.is_dir() and path.name not in names):
        raise DamagedError(f"{unknown[0]} is the folder of no variant: they are in reproduction/variants.py")
    found = []
    for variant in VARIANTS:
        paths = list((root / variant.name).glob("*.parquet"))
        if strange := [path for path in paths if not path.stem.isdecimal()]:
            raise DamagedError(f"{strange[0]} is no cell: its name must be a seed, such as 0.parquet")
        found += [_read(path, Cell(variant, int(path.stem))) for path in paths]
    return sorted(found, key=lambda curve: (VARIANTS.index(curve.cell.variant), curve.cell.seed))


def _read(path: Path, cell: Cell) -> Curve:
    try:
        table = pyarrow.parquet.read_table(path)
        about = json.loads(table.schema.metadata[_ABOUT])
        values = {name: table[name].to_numpy() for name in _KEPT}
        values["mode"] = np.array([MODE_NAMES.index(mode) for mode in values["mode"]], np.int8)
        wrong = _wrong(cell, about, values)
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise DamagedError(f"{path} cannot be read: {type(error).__name__}: {error}") from None
    if wrong:
        raise DamagedError(f"{path} {wrong}")
    return Curve(cell, files.infinities(about), values)


def _wrong(cell: Cell, about: dict[str, Any], values: dict[str, np.ndarray]) -> str | None:
    """What contradicts that the file is of a cell, and whole if its run is finished."""
    if (about["variant"], about["seed"]) != (cell.variant.name, cell.seed):
        return f"has the cell {about['variant']}/{about['seed']}: it was renamed or copied"
    broken = [name for name, column in values.items() if name not in _BAND and not np.all(np.isfinite(column))]
    count, asked = len(values["iteration"]), about["config"]["hyperparams"]["num_iterations"]
    if about["row"]["status"] != FINISHED:
        return None
    if count != asked:
        return f"has {count} iterations: its finished run has {asked}"
    return f"has a value in {broken[0]} that is not finite, though its run is finished" if broken else None
