"""The `espo` command: its flags, parsed; `commands` has what they do."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version

from espo_jax import commands, presets
from espo_jax.commands import BAD_INPUT, INTERRUPTED
from espo_jax.flags import (
    BadInputError,
    CompareOptions,
    EvalOptions,
    ExportOptions,
    Parser,
    PlotOptions,
    RunOptions,
    given,
    parse,
    settings_flags,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    0 finished, 2 bad input, 3 nan or infinity, 4 the disk takes no more, 130 Ctrl-C, 143 SIGTERM.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    known: dict[str, Callable[[list[str]], int]] = {
        "train": _train_command,
        "eval": _eval_command,
        "export": _export_command,
        "plot": _plot_command,
        "compare": _compare_command,
        "tasks": _tasks_command,
    }
    parser = Parser(
        prog="espo",
        description="Safe reinforcement learning by sample manipulation.",
        epilog="`espo COMMAND --help` says more: train trains on a task and writes a run directory; eval judges the "
        "policy of a run; export writes it to files that run without espo_jax; plot draws runs over each other; "
        "compare trains several algorithms at equal iterations; tasks lists what can be trained.",
    )
    parser.add_argument("command", choices=known)
    parser.add_argument("--version", action="version", version=f"espo_jax {version('espo_jax')}")
    try:
        # What follows the command is for the command to parse.
        return known[parser.parse_args(argv[:1] or ["--help"]).command](argv[1:])
    except BadInputError as error:
        print(f"espo: error: {' '.join(str(error).split())}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("espo: interrupted", file=sys.stderr)
        return INTERRUPTED


def _train_command(argv: list[str]) -> int:
    """Parse the flags of `espo train`, whose defaults are those of the task's preset, and train."""
    peek = Parser(add_help=False, allow_abbrev=False)
    peek.add_argument("--task", default=RunOptions.task)
    peek.add_argument("--algorithm", default=RunOptions.algorithm)
    peek.add_argument("--preset", default=RunOptions.preset)
    chosen, _ = peek.parse_known_args(argv)
    try:
        defaults = presets.preset(chosen.preset, chosen.task, chosen.algorithm)
    except ValueError as error:
        raise BadInputError(str(error)) from error
    about = (
        "Train on a task and write a run directory. The defaults shown are those of preset "
        f"{chosen.preset} for {chosen.task} and {chosen.algorithm}."
    )
    flags = settings_flags(RunOptions, defaults)
    values = vars(parse(flags, argv, "espo train", about))
    if values["resume"] is not None:
        return commands.resume(values["resume"], {name: values[name] for name in given(flags, argv) - {"resume"}})
    options = RunOptions(**{field.name: values[field.name] for field in dataclasses.fields(RunOptions)})
    return commands.train(options, {name: value for name, value in values.items() if name not in vars(options)})


def _compare_command(argv: list[str]) -> int:
    """Parse the flags of `espo compare`: what is given holds for all algorithms."""
    flags = settings_flags(CompareOptions, {})
    about = (
        "Train several algorithms on a task at equal iterations, seeds vmapped, and write a table and the curves over "
        "each other. A setting that is given holds for all of them; every other is that of each one's preset, whatever "
        "default is shown."
    )
    values = vars(parse(flags, argv, "espo compare", about))
    options = CompareOptions(**{field.name: values[field.name] for field in dataclasses.fields(CompareOptions)})
    return commands.compare(options, {name: values[name] for name in given(flags, argv) if name not in vars(options)})


def _eval_command(argv: list[str]) -> int:
    about = "Judge the policy of a run by fresh episodes, stochastic and deterministic, on any physics."
    return commands.evaluate(parse(EvalOptions, argv, "espo eval", about))


def _export_command(argv: list[str]) -> int:
    about = "Write the deterministic policy of a run, with its normaliser, to files that run without espo_jax."
    return commands.export(parse(ExportOptions, argv, "espo export", about))


def _plot_command(argv: list[str]) -> int:
    about = "Draw runs over each other: means over the runs of a group, with 95 % bootstrap intervals."
    return commands.plot(parse(PlotOptions, argv, "espo plot", about))


def _tasks_command(argv: list[str]) -> int:
    @dataclasses.dataclass
    class Tasks:
        pass

    parse(Tasks, argv, "espo tasks", "List what can be trained.")
    return commands.tasks()


if __name__ == "__main__":
    sys.exit(main())
