"""A sweep to look at: its lanes as rows, its axes, and the best lane that is safe."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute

from espo_jax.results.read import Records, Run
from espo_jax.runs.files import DamagedError
from espo_jax.runs.result import FINISHED
from espo_jax.sweeps import columns
from espo_jax.sweeps.folder import SweepFolder
from espo_jax.sweeps.plan import Lane

RULE = (
    "a lane is safe if, for each constraint, the mean cost of its fresh episodes under the stochastic policy plus 1.96 "
    "standard errors is within the limit; the best is the safe one with the highest mean reward of these episodes"
)
_NORMAL = 1.96  # standard errors to the upper end of a 95 % interval


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A sweep that was read.

    Attributes:
      folder: its folder.
      rows: the rows of its finished lanes.
      axes: name of an axis -> its values, numbers sorted as numbers.
    """

    folder: SweepFolder
    rows: Sequence[Mapping[str, Any]]
    axes: Mapping[str, Sequence[Any]]

    @property
    def num_constraints(self) -> int:
        """The largest K of a lane."""
        return self.folder.manifest.num_constraints

    def costs(self, row: Mapping[str, Any], name: str = "cost") -> list[tuple[float, float]]:
        """Cost and limit of a lane for each of its constraints.

        Args:
          row: row of the lane.
          name: which cost: cost (of training) or stochastic_cost, deterministic_cost.
        """
        policy = name.removesuffix("cost")
        names = [policy + column for column in columns.names_of("cost", self.num_constraints)]
        limits = columns.names_of("cost_limit", self.num_constraints)
        pairs = [(row.get(cost), row.get(limit)) for cost, limit in zip(names, limits, strict=True)]
        return [(cost, limit) for cost, limit in pairs if cost is not None and limit is not None]

    def excess(self, row: Mapping[str, Any]) -> list[float]:
        """The upper bound of each cost of a lane by RULE minus its limit; empty without fresh episodes.

        One episode says nothing of the spread: its bound is infinite.
        """
        episodes = row.get("eval_episodes") or 0
        deviations = columns.names_of("cost_std", self.num_constraints)
        costs = self.costs(row, "stochastic_cost") if episodes else []
        return [
            cost
            + (_NORMAL * row[f"stochastic_{deviation}"] / math.sqrt(episodes - 1) if episodes > 1 else math.inf)
            - limit
            for (cost, limit), deviation in zip(costs, deviations, strict=False)
        ]

    def is_safe(self, row: Mapping[str, Any]) -> bool:
        """Whether a lane is safe by RULE."""
        excess = self.excess(row)
        return bool(excess) and all(value <= 0 for value in excess)

    def best(self) -> Mapping[str, Any] | None:
        """The row of the best lane that is safe; None if no lane is."""
        return max(filter(self.is_safe, self.rows), key=lambda row: row["stochastic_reward"], default=None)


def runs_of(sweep: Sweep) -> list[Run]:
    """The finished lanes as runs: their settings and the lines of their metrics."""
    finished = {row[columns.LANE] for row in sweep.rows}
    return [Run(lane.config, records) for lane, records in lane_records(sweep.folder) if lane.id in finished]


def lane_records(folder: SweepFolder) -> Iterator[tuple[Lane, Records]]:
    """Every lane that has begun, with the lines of its metrics."""
    constraints = folder.manifest.num_constraints
    for group in folder.manifest.groups:
        table = folder.read_metrics(group)
        if table is None:
            continue
        ids = table[columns.LANE].cast(pa.string())
        for lane in group.lanes:
            of_lane = table.filter(pa.compute.equal(ids, lane.id)).sort_by("iteration")
            if of_lane.num_rows:
                yield lane, columns.records_of(of_lane, constraints)


def read_sweep(path: str | Path) -> Sweep:
    """Read the folder of a sweep.

    Raises:
      DamagedError: a file of it cannot be used, or no lane is finished.
    """
    folder = SweepFolder.open(path)
    rows = [row for row in folder.rows() if row["status"] == FINISHED]
    if not rows:
        raise DamagedError(f"{path} has no lane that is finished yet")
    names = list(dict.fromkeys(name for lane in folder.manifest.lanes for name in lane.varied))
    axes = {name: sorted({row[name] for row in rows if row.get(name) is not None}, key=_order) for name in names}
    return Sweep(folder, rows, {name: values for name, values in axes.items() if len(values) > 1})


def _order(value: Any) -> tuple[int, Any]:
    """Numbers before text, each in its own order."""
    return (0, float(value)) if isinstance(value, int | float) else (1, str(value))


def best_text(sweep: Sweep) -> str:
    """The best lane that is safe, and the rule, for people."""
    row = sweep.best()
    if row is None:
        return f"no lane of {len(sweep.rows)} is safe; {RULE}"
    _, lane = sweep.folder.find(row[columns.LANE])
    costs = ", ".join(f"{cost:.4g} (limit {limit:g})" for cost, limit in sweep.costs(row, "stochastic_cost"))
    return (
        f"best safe lane: {lane.id} ({lane.title}): reward {row['stochastic_reward']:.4g}, cost {costs}, "
        f"{sum(map(sweep.is_safe, sweep.rows))} of {len(sweep.rows)} lanes are safe; {RULE}"
    )
