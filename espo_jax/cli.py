"""The `espo` command: its flags, parsed; `commands` has what they do."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version

from espo_jax import commands, presets
from espo_jax.commands.common import BAD_INPUT, INTERRUPTED
from espo_jax.flags import BadInputError, Parser, given, parse, settings_flags
from espo_jax.options import (
    CompareOptions,
    EvalOptions,
    ExportOptions,
    PlotOptions,
    RenderOptions,
    ReplayOptions,
    ReportOptions,
    RunOptions,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    0 finished, 2 bad input, 3 nan or infinity, 4 the disk takes no more, 130 Ctrl-C, 143 SIGTERM.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    about = "; ".join(f"{name}: {text}" for name, (_, text) in COMMANDS.items())
    parser = Parser(
        prog="espo",
        description="Safe reinforcement learning by sample manipulation.",
        epilog=f"{about}. `espo COMMAND --help` says more.",
    )
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--version", action="version", version=f"espo_jax {version('espo_jax')}")
    try:
        # What follows the command is for the command to parse.
        return COMMANDS[parser.parse_args(argv[:1] or ["--help"]).command][0](argv[1:])
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


def _replay_command(argv: list[str]) -> int:
    about = "Repeat a run from its config.json and compare every iteration with what it logged; nothing is written."
    return commands.replay(parse(ReplayOptions, argv, "espo replay", about))


def _eval_command(argv: list[str]) -> int:
    about = "Judge the policy of a run by fresh episodes, stochastic and deterministic, on any physics."
    return commands.evaluate(parse(EvalOptions, argv, "espo eval", about))


def _export_command(argv: list[str]) -> int:
    about = "Write the deterministic policy of a run, with its normaliser, to files that run without espo_jax."
    return commands.export(parse(ExportOptions, argv, "espo export", about))


def _plot_command(argv: list[str]) -> int:
    about = "Draw runs over each other: means over the runs of a group, with 95 % bootstrap intervals."
    return commands.plot(parse(PlotOptions, argv, "espo plot", about))


def _report_command(argv: list[str]) -> int:
    about = "Write one web page of a run that needs no network: summary, curves, modes, config, an episode that plays."
    return commands.report(parse(ReportOptions, argv, "espo report", about))


def _render_command(argv: list[str]) -> int:
    about = "Film an episode of a run's policy with MuJoCo's renderer, with its cost and velocity."
    return commands.render(parse(RenderOptions, argv, "espo render", about))


def _tasks_command(argv: list[str]) -> int:
    @dataclasses.dataclass
    class Tasks:
        pass

    parse(Tasks, argv, "espo tasks", "List what can be trained.")
    return commands.tasks()


COMMANDS: dict[str, tuple[Callable[[list[str]], int], str]] = {
    "train": (_train_command, "train on a task and write a run directory, or go on with one"),
    "compare": (_compare_command, "train several algorithms at equal iterations"),
    "eval": (_eval_command, "judge the policy of a run by fresh episodes"),
    "plot": (_plot_command, "draw runs over each other"),
    "report": (_report_command, "write a run's web page"),
    "render": (_render_command, "film an episode of a run's policy"),
    "export": (_export_command, "write a run's policy to files that run without espo_jax"),
    "replay": (_replay_command, "repeat a run from its config and compare"),
    "tasks": (_tasks_command, "list what can be trained"),
}


if __name__ == "__main__":
    sys.exit(main())
