"""What all commands share: exit codes, and how bad input is refused."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from espo_jax import algorithms
from espo_jax.flags import BadInputError

OK, DIFFERENT, BAD_INPUT, NONFINITE, UNWRITABLE, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 4, 130, 143

_FILE_WIDTH = 140  # columns of what is no terminal, for tables to be whole in a log


def console() -> Console:
    """Where a command prints."""
    found = Console()
    return found if found.is_terminal or "COLUMNS" in os.environ else Console(width=_FILE_WIDTH)


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """What is wrong with what the user gave becomes a BadInputError."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise BadInputError(str(error)) from error


def recorded(path: Path, env: Any, about: Any = None) -> tuple[Any, Any, Any]:
    """Config, algorithm module and environment of a run."""
    from espo_jax.training.run_config import RunConfig

    about = about or RunConfig.read(path)
    algorithm = algorithms.load(about.algorithm)
    if env is None:
        import safety_envs

        env = safety_envs.make(about.task, backend=about.backend, reward=about.reward or "task")
    return about, algorithm, env
