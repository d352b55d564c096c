"""Cells that are missing are trained as lanes of one sweep with a fixed manifest; each is saved and kept alone."""

import dataclasses
import functools
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from espo_jax import own_code
from espo_jax.environments import named_env
from espo_jax.runs.options import RunOptions
from espo_jax.runs.output import Console
from espo_jax.runs.result import FINISHED, NEGATIVE_COST, NONFINITE
from espo_jax.runs.signals import finish_first
from espo_jax.settings import settings_of
from espo_jax.sweeps.folder import SweepFolder
from espo_jax.sweeps.manifest import Group
from espo_jax.sweeps.plan import Lane, MakeEnv, lanes_of
from espo_jax.sweeps.progress import Report
from espo_jax.sweeps.sweep import Worker
from reproduction import cells
from reproduction.variants import TASKS, Cell

OWN_CODE = "reproduction.random_sizes"


@dataclasses.dataclass(frozen=True)
class Work:
    """How cells are trained.

    Attributes:
      root: folder of the files of finished cells.
      sweep_dir: folder of the sweep, with checkpoints and policies.
      backend: physics.
      lanes_per_group: the largest number of cells that are trained together. 1 keeps each as soon as it is finished.
      hours: no cell is begun after this time.
      idle: whether nothing else runs on the machine, so that times may be compared. Such cells are trained in a sweep
        of their own, and take the place of cells that were trained on a busy machine.

    Raises:
      ValueError: hours is no number, there is no lane in a group, or cells that are to be timed are trained together,
        without a time of their own.
    """

    root: Path
    sweep_dir: Path
    backend: str = "mujoco"
    lanes_per_group: int = 1
    hours: float = float("inf")
    idle: bool = False

    def __post_init__(self) -> None:
        if math.isnan(self.hours):
            raise ValueError("hours is nan: it must be a number, or inf for no limit")
        if self.lanes_per_group < 1:
            raise ValueError(f"lanes_per_group is {self.lanes_per_group}: it must be at least 1")
        if self.idle and self.lanes_per_group > 1:
            raise ValueError(f"lanes_per_group is {self.lanes_per_group}: it must be 1 with idle, one run at a time")

    @property
    def folder(self) -> Path:
        """Folder of the sweep."""
        return self.sweep_dir.with_name(f"{self.sweep_dir.name}_idle") if self.idle else self.sweep_dir

    def missing(self, asked: Sequence[Cell]) -> list[Cell]:
        """The cells that have no file, or none of an idle machine if that is asked for."""
        there = {run.cell.name for run in cells.read(self.root, asked) if run.idle or not self.idle}
        return [cell for cell in asked if cell.name not in there]


def lanes(asked: Sequence[Cell], backend: str, make_env: MakeEnv = named_env, **settings: Any) -> dict[str, Lane]:
    """The lanes of cells, by the name of the cell.

    Args:
      asked: the cells.
      backend: physics.
      make_env: (task, backend, reward, env) -> one instance of the environment, see `named_env`.
      **settings: settings that hold for all, for smaller runs.

    Raises:
      ValueError: a setting is not usable.
    """
    own_code.allow(OWN_CODE)
    make_env = functools.cache(make_env)
    found = {}
    for variant in {cell.variant.name: cell.variant for cell in asked}.values():
        seeds = [cell.seed for cell in asked if cell.variant.name == variant.name]
        own = {**variant.settings, **settings}
        fields = settings_of(RunOptions)
        given = {name: own.pop(name) for name in list(own) if name in fields}
        options = RunOptions(task=TASKS[variant.task], backend=backend, algorithm=variant.algorithm, **given)
        for lane in lanes_of(make_env, options, own, [], seeds):
            found[Cell(variant, lane.config.options.seed).name] = lane
    return found


def train(
    asked: Sequence[Cell], work: Work, console: Console, make_env: MakeEnv = named_env, **settings: Any
) -> list[str]:
    """Train the cells that are missing, and keep each as it ends; the same call goes on after an interruption.

    Args:
      asked: the cells, in the order in which they are trained.
      work: how.
      console: where to print.
      make_env: (task, backend, reward, env) -> one instance of the environment, see `named_env`.
      **settings: settings that hold for all, for smaller runs.

    Returns:
      Names of the cells that are still missing, or whose run failed.

    Raises:
      ValueError: a setting is not usable, or the folder has another sweep.
      Interrupted: a signal came; what ran until then is saved.
    """
    end = time.monotonic() + 3600 * work.hours
    make_env = functools.cache(make_env)
    missing = work.missing(asked)
    if missing:
        planned = lanes(missing, work.backend, make_env, **settings)
        by_hash = {planned[cell.name].hash: cell for cell in missing}
        with finish_first() as stop:
            folder = SweepFolder.plan(work.folder, _with_known(work.folder, planned), work.lanes_per_group)
            worker = Worker(folder, make_env, Report(console, folder.manifest), stop)
            for group in sorted(folder.manifest.groups, key=functools.partial(_place, list(by_hash))):
                wanted = [lane for lane in group.lanes if lane.hash in by_hash]
                if not wanted or time.monotonic() > end:
                    continue
                console.print(", ".join(by_hash[lane.hash].name for lane in wanted), soft_wrap=True)
                worker.run([group.name])
                for lane in _ended(folder, group, wanted):
                    cells.keep(work.root, by_hash[lane.hash], folder, lane.id, work.idle)
    good = {run.cell.name for run in cells.read(work.root, asked) if run.failure is None}
    return [cell.name for cell in asked if cell.name not in good]


def _with_known(sweep_dir: Path, planned: dict[str, Lane]) -> list[Lane]:
    """The lanes that the folder has, for it only takes requests for these too, and those that are planned.

    Their budgets are the planned ones. An earlier version could record others.
    """
    known = SweepFolder.open(sweep_dir).manifest.lanes if sweep_dir.exists() else []
    return list({lane.hash: lane for lane in [*known, *planned.values()]}.values())


def _place(order: Sequence[str], group: Group) -> int:
    """Place of a group in the order of its lanes."""
    return min((order.index(lane.hash) for lane in group.lanes if lane.hash in order), default=len(order))


def _ended(folder: SweepFolder, group: Group, wanted: Sequence[Lane]) -> list[Lane]:
    """The lanes that do not go on: finished, or failed by a number that is not finite or a negative cost."""
    ended = (FINISHED, NONFINITE, NEGATIVE_COST)
    done = {row["lane"] for row in folder.group_rows(group) if row["status"] in ended}
    return [lane for lane in wanted if lane.id in done]
