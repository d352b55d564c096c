"""What all commands share: exit codes, the console, and how bad input is refused."""

import argparse
import contextlib
import os
import re
import signal
from collections.abc import Callable, Iterator
from typing import NoReturn

from espo_jax import own_code
from espo_jax.runs import output
from espo_jax.runs.output import Console
from espo_jax.runs.signals import Interrupted, Stop

OK, DIFFERENT, BAD_INPUT, NONFINITE, UNWRITABLE, LOST = 0, 1, 2, 3, 4, 5

_FILE_WIDTH = 140  # columns of what is no terminal, for tables to be whole in a log


class BadInputError(Exception):
    """Something that the user gave is not usable; the message says what, and what is allowed."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are BadInputError."""

    def error(self, message: str) -> NoReturn:
        """Refuse the input."""
        raise BadInputError(message)


def allow_typed(argv: list[str]) -> None:
    """Allow the modules of the user's own code that the command line names: what the user typed is meant.

    Args:
      argv: the words that were typed; those of a settings file are not among them.

    Raises:
      BadInputError: a module cannot be imported.
    """
    parser = Parser(add_help=False, allow_abbrev=False)
    for flags in (("--task",), ("--algorithm",), ("--algorithms",), ("--sample-size-rule", "--sample-size")):
        parser.add_argument(*flags, action="append", default=[])
    for flag in ("--grid", "--zip", "--choice"):
        parser.add_argument(flag, action="append", default=[])
    found, _ = parser.parse_known_args(argv)
    values = [value for given in vars(found).values() for value in given]
    with refusing():
        own_code.allow_named(*(part.strip() for value in values for part in re.split("[,=]", value)))


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


def finishing(work: Callable[[], int | None], stop: Stop, go_on: str) -> int:
    """Call a function that can go on later; a signal or a full disk ends it with a line that says how.

    Args:
      work: returns the exit code; None stands for OK.
      stop: from `signals.finish_first`.
      go_on: how to go on.

    Returns:
      The exit code.

    Raises:
      BadInputError: a file is damaged, or something is wrong that only shows when a program is compiled.
    """
    try:
        return work() or OK
    except Interrupted as error:
        output.say(f"{error}; what ran until then is saved; go on with: {go_on}")
        return interrupted(stop.received or signal.SIGINT)
    except ValueError as error:
        raise BadInputError(str(error)) from error
    except OSError as error:
        output.say(f"{error}; what was written before is whole; go on with: {go_on}")
        return UNWRITABLE


def interrupted(by: signal.Signals) -> int:
    """Exit code of a command that a signal ended: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
    return 128 + by


def names(text: str) -> list[str]:
    """The names in a text that separates them by commas."""
    return [name.strip() for name in text.split(",")]
