"""`espo compare`: train several algorithms on a task at equal iterations."""

import dataclasses
import signal
from typing import Any

import safety_envs

from espo_jax import algorithms, presets
from espo_jax.cli import interrupted
from espo_jax.cli.common import BAD_INPUT, NONFINITE, OK, UNWRITABLE, console, refusing
from espo_jax.cli.flags import flags_of, given, parse
from espo_jax.config import Config
from espo_jax.hyperparams import Hyperparams
from espo_jax.results import compare as comparison
from espo_jax.results import compare_table
from espo_jax.results.compare import CompareOptions
from espo_jax.runs import output
from espo_jax.runs.result import FINISHED, INTERRUPTED, NEGATIVE_COST
from espo_jax.runs.signals import finish_first
from espo_jax.settings import choose


def command(argv: list[str]) -> int:
    """Parse the flags, compare and print; returns the exit code."""
    classes = (CompareOptions, Hyperparams, Config)
    flags = flags_of(*classes)
    description = (
        "Train several algorithms on a task at equal iterations, seeds vmapped, and write a table and one picture of "
        "all curves. A setting that is given holds for all of them. Every other setting is that of each one's preset; "
        "the defaults shown here do not apply."
    )
    values = dict(vars(parse(flags, argv, "espo compare", description)))
    with refusing():
        options = CompareOptions(**{field.name: values.pop(field.name) for field in dataclasses.fields(CompareOptions)})
    return compare(options, {name: values[name] for name in given(flags, argv, *classes) if name in values})


def compare(options: CompareOptions, settings: dict[str, Any], env: Any = None) -> int:
    """Train several algorithms at equal iterations, and print and write their table; returns the exit code.

    Args:
      options: options of the comparison.
      settings: flat fields of Config and Hyperparams that hold for all of them; the rest is each one's preset.
      env: environment to use in place of the named task; then settings are all there is.

    Raises:
      BadInputError: before anything is compiled.
    """
    with finish_first() as stop:
        with refusing():
            for name in options.names:
                choose("algorithm", name, algorithms.RULES)
            if len(set(options.names)) < len(options.names):
                raise ValueError(f"algorithms is {options.algorithms!r}: it names one twice")
            chosen = {name: dict(settings) for name in options.names}
            if env is None:
                chosen = {
                    name: {**presets.preset(options.preset or presets.NO_PRESET, options.task, name), **settings}
                    for name in options.names
                }
                env = safety_envs.make(options.task, backend=options.backend, reward=options.reward or "task")
            prepared = comparison.prepare(env, chosen, options)
        out, path = console(), prepared.directory.path
        try:
            result = comparison.execute(prepared, out, stop)
        except OSError as error:
            output.say(f"{error}; what finished until then is in {path}")
            return UNWRITABLE
    if result["rows"]:
        extent = f"{prepared.num_iterations} iterations, {options.seeds} seeds vmapped"
        title = f"{options.task}, {extent}: mean ± standard error"
        out.print(compare_table.table(result["rows"], title))
        out.print(f"{compare_table.EXPLANATION}\nrun directory {path}", soft_wrap=True)
    if result["status"] == INTERRUPTED:
        output.say(f"interrupted; what finished until then is in {path}")
        return interrupted(stop.received or signal.SIGINT)
    return {FINISHED: OK, NEGATIVE_COST: BAD_INPUT}.get(result["status"], NONFINITE)
