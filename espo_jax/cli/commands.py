"""The `espo` command: which subcommand runs. A subcommand is imported when it is called, since that takes seconds."""

import importlib
from argparse import RawDescriptionHelpFormatter
from collections.abc import Sequence
from importlib.metadata import version

from espo_jax import own_code
from espo_jax.cli import compiled_programs
from espo_jax.cli.common import BAD_INPUT, UNWRITABLE, BadInputError, Parser, refusing
from espo_jax.runs import output
from espo_jax.runs.signals import Stop

# Name of a subcommand: the module of espo_jax.cli whose function `command` takes the rest of the command line and
# returns the exit code, and what it does.
COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("train", "train on a task and write a run directory, or go on with one"),
    "compare": ("compare", "train several algorithms at equal iterations"),
    "sweep": ("sweep", "train many runs that differ in settings and seeds as one program"),
    "tune": ("tune", "search for the settings with the largest reward within the limit on the cost"),
    "eval": ("evaluate", "evaluate the policy of a run by fresh episodes"),
    "plot": ("plot", "draw runs over each other"),
    "report": ("report", "write the web page of a run"),
    "render": ("render", "film an episode of the policy of a run"),
    "export": ("export", "write the policy of a run to files that run without espo_jax"),
    "replay": ("replay", "repeat a run from its config and compare"),
    "bench": ("bench", "measure steps per second"),
    "export-lane": ("export_lane", "write a run directory of a lane of a sweep"),
    "tasks": ("tasks", "list the tasks"),
}


def run(argv: Sequence[str], stop: Stop) -> int:
    """Run a command; returns its exit code.

    Args:
      argv: the command line without the name of the program.
      stop: from `signals.finish_first`.
    """
    width = max(map(len, COMMANDS))
    parser = Parser(
        prog="espo",
        usage="espo COMMAND ...",
        formatter_class=lambda prog: RawDescriptionHelpFormatter(prog, width=100),
        description="Safe reinforcement learning by sample manipulation.",
        epilog="\n".join([
            "commands:", *(f"  {name:{width}}  {text}" for name, (_, text) in COMMANDS.items()), "",
            "`espo COMMAND --help` says more. --allow-code MODULE, with any command, imports a module of your own",
            "code, whose tasks and algorithms a run directory may then use.",
        ]),
    )  # fmt: skip
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="what to do")
    parser.add_argument("--version", action="version", version=f"espo_jax {version('espo_jax')}")
    try:
        argv = _allow_code(argv)
        # What follows the command is for the command to parse.
        command = parser.parse_args(argv[:1] or ["--help"]).command
        return _call(COMMANDS[command][0], list(argv[1:]), stop)
    except BadInputError as error:
        output.say(f"error: {error}")
        return BAD_INPUT


def _call(name: str, argv: list[str], stop: Stop) -> int:
    """Import the module of a subcommand and call it."""
    try:
        jax = importlib.import_module("jax")
        compiled_programs.keep(jax)
        module = importlib.import_module(f"espo_jax.cli.{name}")
    except OSError as error:  # some package looks for a folder for temporary files
        output.say(f"error: cannot start: {error}")
        return UNWRITABLE
    stop.check()  # the imports take seconds, in which other code may swallow a Ctrl-C
    with jax.enable_x64(False):  # the variable JAX_ENABLE_X64 is for other programs
        return module.command(argv)


def _allow_code(argv: Sequence[str]) -> list[str]:
    """The command line without its --allow-code MODULE, which every command takes; the modules are imported.

    Raises:
      BadInputError: a module is missing or cannot be imported.
    """
    parser = Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--allow-code", action="append", default=[], metavar="MODULE")
    found, others = parser.parse_known_args(list(argv))
    with refusing():
        for module in found.allow_code:
            own_code.allow(module)
    return others
