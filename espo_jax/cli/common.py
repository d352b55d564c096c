"""What all commands share: exit codes, the console, and how bad input is refused."""

import contextlib
import os
from collections.abc import Iterator

from espo_jax.runs.output import Console

OK, DIFFERENT, BAD_INPUT, NONFINITE, UNWRITABLE, LOST = 0, 1, 2, 3, 4, 5

_FILE_WIDTH = 140  # columns of what is no terminal, for tables to be whole in a log


class BadInputError(Exception):
    """Something that the user gave is not usable; the message says what, and what is allowed."""


def console() -> Console:
    """Where a command prints."""
    found = Console()
    return found if found.is_terminal or "COLUMNS" in os.environ else Console(width=_FILE_WIDTH)


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """Turn what is wrong with the user's input into a BadInputError."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise BadInputError(str(error)) from error


def names(text: str) -> list[str]:
    """The names in a text that separates them by commas."""
    return [name.strip() for name in text.split(",")]
