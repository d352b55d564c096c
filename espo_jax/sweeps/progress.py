"""What a sweep prints while it runs."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator

import numpy as np
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from espo_jax.runs.output import Console
from espo_jax.runs.progress import PLAIN_LINES, clock_time
from espo_jax.runs.waiting import wait_for
from espo_jax.sweeps.group_run import GroupRun, Turn
from espo_jax.sweeps.manifest import Group, Manifest
from espo_jax.sweeps.program import Compiled


class Report:
    """Prints to a console: what is compiled, a bar or lines for each group, and every lane that stops."""

    def __init__(self, console: Console, manifest: Manifest):
        """Print nothing yet."""
        self._console, self._groups = console, len(manifest.groups)

    def compiling(self, group: Group, work: Callable[[], Compiled]) -> Compiled:
        """Compile a program by calling a function, see `wait_for`."""
        self.note(f"{group.program.title}: compiling")
        compiled = wait_for(work, self._console, "compiling")
        devices = f" on each of {len(compiled.devices)} devices" if len(compiled.devices) > 1 else ""
        self.note(
            f"{group.program.title}: compiled in {clock_time(compiled.seconds)}; packs of {compiled.pack_size} lanes "
            f"take {compiled.bytes / 1e6:,.0f} MB{devices}"
        )
        return compiled

    def skipped(self, group: Group) -> None:
        """A group is left to another process."""
        self.note(f"{group.name} is left out: another process works on it")

    def note(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, soft_wrap=True)

    @contextlib.contextmanager
    def group(self, run: GroupRun) -> Iterator["GroupReport"]:
        """Shows the progress of a group within this context."""
        live = Live(console=self._console, refresh_per_second=4) if self._console.is_terminal else None
        with live or contextlib.nullcontext():
            yield GroupReport(self._console, run, live)


class GroupReport:
    """The progress of a group: a bar that is redrawn on a terminal, else some lines."""

    def __init__(self, console: Console, run: GroupRun, live: Live | None):
        """Begin to count the time."""
        self._console, self._run, self._live = console, run, live
        self._begin, self._at_first = time.perf_counter(), self._done()
        self._lines = math.ceil(self._at_first * (PLAIN_LINES - 1))

    def note(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, soft_wrap=True)

    def update(self, turn: Turn) -> None:
        """Show an iteration of all lanes."""
        for lane, why in turn.failed.items():
            of_lane = self._run.lanes[lane]
            self.note(f"lane {of_lane.id} ({of_lane.title}) stops: {why}")
        done = self._done()
        left = (time.perf_counter() - self._begin) * (1 - done) / max(done - self._at_first, 1e-9)
        samples = int(turn.metrics.sample_size[turn.active].sum())
        cells = {
            self._run.group.name: f"{int(turn.active.sum())} of {len(self._run.lanes)} lanes",
            "iteration": f"{int(self._run.iterations.min())} to {int(self._run.iterations.max())}",
            "samples": f"{int(self._run.env_steps.sum()):,}",
            "steps/s": f"{samples / turn.seconds:,.0f}",
            "left": clock_time(left),
        }
        text = " | ".join(f"{name} {value}" for name, value in cells.items())
        if self._live:
            grid = Table.grid()
            grid.add_row(ProgressBar(total=1.0, completed=done, width=60))
            grid.add_row(text)
            self._live.update(grid)
        elif done * (PLAIN_LINES - 1) >= self._lines:
            self.note(text)
            self._lines += 1

    def _done(self) -> float:
        """The share of the budgets of all lanes that is used up; a lane that stopped has used up its own."""
        return float(np.mean(np.where(self._run.active, self._run.used, 1.0)))
