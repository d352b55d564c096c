"""Progress of a run: a live table on a terminal, a few plain lines elsewhere."""

import math
import time
from typing import Any, Protocol

from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from espo_jax.loop import Budget
from espo_jax.runs.output import Console

PLAIN_LINES = 25


class Progress(Protocol):
    """A context manager that is updated after every iteration."""

    def __enter__(self) -> "Progress": ...

    def __exit__(self, *exception: object) -> None: ...

    def update(self, record: dict[str, Any]) -> None:
        """Show an iteration, a line of metrics.jsonl."""


def progress(console: Console, budget: Budget, done: float = 0.0) -> Progress:
    """The display for a console: LiveProgress on a terminal, else PlainProgress.

    Args:
      console: where to print.
      budget: budget of the run.
      done: share of the budget that was used before.
    """
    return LiveProgress(console, budget, done) if console.is_terminal else PlainProgress(console, budget, done)


class PlainProgress:
    """Prints about PLAIN_LINES lines over the whole run, the first and the last iteration among them."""

    def __init__(self, console: Console, budget: Budget, done: float = 0.0):
        """Print to a console."""
        self._console = console
        self._clock = _Clock(budget, done)
        self._lines = math.ceil(done * (PLAIN_LINES - 1))
        self._pending: str | None = None

    def __enter__(self) -> "PlainProgress":
        self._clock.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pending:
            self._print(self._pending)

    def update(self, record: dict[str, Any]) -> None:
        """Print a line if it is due."""
        fraction, left = self._clock.tick(record)
        cells = (f"{name} {value}" for name, value in _cells(record, self._clock.budget, left).items())
        self._pending = " | ".join(cells)
        if fraction * (PLAIN_LINES - 1) >= self._lines:
            self._print(self._pending)

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)
        self._lines += 1
        self._pending = None


class LiveProgress:
    """A table redrawn in place."""

    def __init__(self, console: Console, budget: Budget, done: float = 0.0):
        """Draw on a terminal."""
        self._clock = _Clock(budget, done)
        self._live = Live(console=console, refresh_per_second=4)

    def __enter__(self) -> "LiveProgress":
        self._clock.start()
        self._live.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.__exit__(None, None, None)

    def update(self, record: dict[str, Any]) -> None:
        """Show an iteration."""
        fraction, left = self._clock.tick(record)
        cells = list(_cells(record, self._clock.budget, left).items())
        grid = Table.grid(padding=(0, 2))
        for pair in zip(cells[::2], cells[1::2], strict=True):
            grid.add_row(*(text for name, value in pair for text in (Text(name, "dim"), value)))
        rows = Table.grid()  # a ProgressBar by itself does not end its line
        rows.add_row(ProgressBar(total=1.0, completed=fraction, width=60))
        rows.add_row(grid)
        self._live.update(rows)


class _Clock:
    """The time that is left, from the share of the budget that is used."""

    def __init__(self, budget: Budget, done: float):
        self.budget = budget
        self._done = done
        self._begin = math.nan

    def start(self) -> None:
        self._begin = time.perf_counter()

    def tick(self, record: dict[str, Any]) -> tuple[float, float]:
        """The share of the budget that is used, and the seconds that are left."""
        fraction = self.budget.fraction(record["iteration"], record["env_steps"])
        return fraction, (time.perf_counter() - self._begin) * (1 - fraction) / (fraction - self._done)


def _cells(record: dict[str, Any], budget: Budget, left: float) -> dict[str, str]:
    """What is shown of an iteration: an even number of names with texts."""
    of_iterations = f"/{budget.num_iterations}" if budget.num_iterations else ""
    of_steps = f"/{budget.num_timesteps:,}" if budget.num_timesteps else ""
    return {
        "iteration": f"{record['iteration']}{of_iterations}",
        "steps": f"{record['env_steps']:,}{of_steps}",
        "steps/s": f"{record['steps_per_second']:,.0f}",
        "reward": number(record["episode_reward"]),
        "cost": f"{number(record['episode_cost'])} (limit {number(record['cost_limit'])})",
        "mode": record["mode"],
        "samples": f"{record['sample_size']:,}",
        "left": clock_time(left),
    }


def number(value: Any) -> str:
    """A number, or a list of numbers, with four digits; None stands for nan, which JSON does not have."""
    if isinstance(value, list):
        return ", ".join(map(number, value))
    return "nan" if value is None else f"{value:.4g}"


def clock_time(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
