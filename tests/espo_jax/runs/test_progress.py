"""Progress: live on a terminal, a few plain lines elsewhere."""

import contextlib
import io

import pytest
from rich.console import Console

from espo_jax.loop import Budget
from espo_jax.runs.progress import LiveProgress, PlainProgress, clock_time, progress


def record(iteration):
    return {
        "iteration": iteration,
        "env_steps": 1000 * iteration,
        "sample_size": 1000,
        "steps_per_second": 12345.6,
        "episode_reward": -12.34567,
        "episode_cost": [41.0, 2.0],
        "cost_limit": [40.0, 3.0],
        "mode": "conflict",
    }


def run(console, num_iterations):
    with progress(console, Budget.create(num_iterations, None)) as display:
        for i in range(num_iterations):
            display.update(record(i + 1))
    return display, console.file.getvalue()


@pytest.mark.parametrize(("num_iterations", "most"), [(1, 1), (3, 3), (1000, 27)])
def test_plain_lines_are_few_and_include_the_first_and_last(num_iterations, most):
    display, text = run(Console(file=io.StringIO(), width=20), num_iterations)
    assert isinstance(display, PlainProgress)
    lines = text.splitlines()
    assert 1 <= len(lines) <= most
    assert lines[0].startswith(f"iteration 1/{num_iterations} | steps 1,000 | steps/s 12,346 | reward -12.35")
    assert lines[-1].startswith(f"iteration {num_iterations}/")
    assert "cost 41, 2 (limit 40, 3) | mode conflict | samples 1,000 | left 0:00" in lines[-1]


def test_an_interrupted_run_still_shows_its_last_iteration():
    console = Console(file=io.StringIO())
    with contextlib.suppress(KeyboardInterrupt), progress(console, Budget.create(1000, None)) as display:
        for i in range(10):
            display.update(record(i + 1))
        raise KeyboardInterrupt
    assert "iteration 10/1000" in console.file.getvalue().splitlines()[-1]


def test_terminal_gets_a_live_table():
    display, text = run(Console(file=io.StringIO(), force_terminal=True, width=100), 3)
    assert isinstance(display, LiveProgress)
    for word in ("iteration", "3/3", "3,000", "steps/s", "conflict", "limit 40, 3", "left"):
        assert word in text


def test_time_left_is_readable():
    assert clock_time(59.6) == "1:00"
    assert clock_time(3725) == "1:02:05"
