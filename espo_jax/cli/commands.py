"""The `espo` command: which subcommand runs."""

from collections.abc import Callable, Sequence
from importlib.metadata import version

import jax

from espo_jax import own_code
from espo_jax.cli import (
    bench,
    compare,
    evaluate,
    export,
    export_lane,
    plot,
    render,
    replay,
    report,
    sweep,
    tasks,
    train,
    tune,
)
from espo_jax.cli.common import BAD_INPUT, BadInputError, refusing
from espo_jax.cli.flags import Parser
from espo_jax.runs import output

# Name of a subcommand: the function that gets the rest of the command line and returns the exit code, and what it does.
COMMANDS: dict[str, tuple[Callable[[list[str]], int], str]] = {
    "train": (train.command, "train on a task and write a run directory, or go on with one"),
    "compare": (compare.command, "train several algorithms at equal iterations"),
    "sweep": (sweep.command, "train many runs that differ in settings and seeds as one program"),
    "tune": (tune.command, "search for the settings with the largest reward within the limit on the cost"),
    "eval": (evaluate.command, "evaluate the policy of a run by fresh episodes"),
    "plot": (plot.command, "draw runs over each other"),
    "report": (report.command, "write the web page of a run"),
    "render": (render.command, "film an episode of the policy of a run"),
    "export": (export.command, "write the policy of a run to files that run without espo_jax"),
    "replay": (replay.command, "repeat a run from its config and compare"),
    "bench": (bench.command, "measure steps per second"),
    "export-lane": (export_lane.command, "write a run directory of a lane of a sweep"),
    "tasks": (tasks.command, "list the tasks"),
}


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


@jax.enable_x64(False)  # the variable JAX_ENABLE_X64 is for other programs
def run(argv: Sequence[str]) -> int:
    """Run a command; returns its exit code.

    Args:
      argv: the command line without the name of the program.
    """
    commands = "; ".join(f"{name}: {text}" for name, (_, text) in COMMANDS.items())
    parser = Parser(
        prog="espo",
        description="Safe reinforcement learning by sample manipulation.",
        epilog=f"{commands}. `espo COMMAND --help` says more. "
        "--allow-code MODULE, with any command, imports a module of your own code, whose tasks and algorithms the run "
        "then may use.",
    )
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--version", action="version", version=f"espo_jax {version('espo_jax')}")
    try:
        argv = _allow_code(argv)
        # What follows the command is for the command to parse.
        return COMMANDS[parser.parse_args(argv[:1] or ["--help"]).command][0](list(argv[1:]))
    except BadInputError as error:
        output.say(f"error: {error}")
        return BAD_INPUT
