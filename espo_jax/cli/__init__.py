"""The `espo` command: its flags, and one function for each subcommand."""

import importlib
import os
import signal
import sys
from collections.abc import Sequence

from espo_jax.cli.common import UNWRITABLE, interrupted
from espo_jax.runs import output
from espo_jax.runs.signals import finish_first


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    0 finished, 2 bad input, 3 nan or infinity, 4 the disk takes no more, 5 a job was lost, 129 SIGHUP, 130 Ctrl-C, 143
    SIGTERM. Output that cannot be written changes nothing.

    Args:
      argv: the command line without the name of the program; None stands for that of the process.
    """
    with output.guarded():
        code = _run(sys.argv[1:] if argv is None else argv)
        waiting = sys.modules.get("espo_jax.runs.waiting")
        if argv is None and waiting and waiting.is_abandoned():
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(code)  # the usual end would wait for the compiler
        return code


def _run(argv: Sequence[str]) -> int:
    """Run the command line until its end or a signal; returns the exit code."""
    try:
        with finish_first() as stop:
            # The import takes a while, in which other code may swallow a Ctrl-C.
            try:
                commands = importlib.import_module("espo_jax.cli.commands")
            except OSError as error:  # some package looks for a folder for temporary files
                output.say(f"error: cannot start: {error}")
                return UNWRITABLE
            stop.check()
            return commands.run(argv, stop)
    except KeyboardInterrupt as error:
        output.say(str(error) or "interrupted")
        return interrupted(getattr(error, "signal", signal.SIGINT))
