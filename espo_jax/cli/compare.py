"""`espo compare`: train several algorithms on a task at equal iterations."""

import functools
import shlex
import signal
from typing import Any

from espo_jax.cli.common import (
    BAD_INPUT,
    NONFINITE,
    OK,
    UNWRITABLE,
    allow_typed,
    console,
    finishing,
    interrupted,
    refusing,
)
from espo_jax.cli.flags import flags_of, given, parse
from espo_jax.cli.settings_file import SettingsFile, expand
from espo_jax.config import Config
from espo_jax.environments import named_env
from espo_jax.hyperparams import Hyperparams
from espo_jax.results import compare as comparison
from espo_jax.results import compare_table, safety_table
from espo_jax.results.compare import NOT_OF_A_COMPARISON, CompareOptions
from espo_jax.runs.output import Console
from espo_jax.runs.result import FINISHED, NEGATIVE_COST
from espo_jax.runs.signals import Stop, finish_first
from espo_jax.settings import settings_of
from espo_jax.sweeps.folder import SweepFolder
from espo_jax.sweeps.plan import MakeEnv
from espo_jax.sweeps.progress import Report
from espo_jax.sweeps.sweep import Worker


def command(argv: list[str]) -> int:
    """Parse the flags, compare and print; returns the exit code."""
    classes = (CompareOptions, SettingsFile, Hyperparams, Config)
    flags = flags_of(*classes, without=NOT_OF_A_COMPARISON)
    allow_typed(argv)
    argv = expand(argv, flags.__annotations__)
    description = (
        "Train several algorithms on a task at equal iterations, and write tables, pictures of all curves and of the "
        "distributions of rewards and costs, and a run directory for every seed. With the --run-dir of a comparison "
        "that was interrupted the same command goes on with it. A setting that is given holds for all algorithms. "
        "Every other setting is that of each one's preset; the defaults shown here do not apply."
    )
    values = dict(vars(parse(flags, argv, "espo compare", description)))
    with refusing():
        options = CompareOptions(**{name: values.pop(name) for name in settings_of(CompareOptions) if name in values})
        settings = {name: values[name] for name in given(flags, argv, *classes) if name in values}
    return compare(options, settings)


def compare(options: CompareOptions, settings: dict[str, Any], make_env: MakeEnv = named_env) -> int:
    """Train several algorithms at equal iterations, and print and write their table; returns the exit code.

    Args:
      options: options of the comparison.
      settings: flat fields of Config and Hyperparams that hold for all of them; the rest is each one's preset.
      make_env: (task, backend, reward, env) -> one instance of the environment, see `named_env`.

    Raises:
      BadInputError: before anything is compiled.
    """
    make_env = functools.cache(make_env)
    out = console()
    with finish_first() as stop:
        with refusing():
            folder = comparison.prepare(make_env, settings, options)
        go_on = f"the same command and --run-dir {shlex.quote(str(folder.path))}"
        worker = Worker(folder, make_env, Report(out, folder.manifest), stop, pack_size=options.pack_size)
        code = finishing(worker.run, stop, go_on)
        stop.at_once = False
        if code == UNWRITABLE:
            return code
        return finishing(lambda: _finish(folder, options, make_env, out, stop), stop, go_on)


def _finish(folder: SweepFolder, options: CompareOptions, make_env: MakeEnv, out: Console, stop: Stop) -> int:
    """Write and print what there is of a comparison; returns the exit code."""
    result = comparison.finish(folder, make_env, options.log, stop.received)
    if rows := result["rows"]:
        seeds = ", ".join(sorted({f"{row['iterations']} iterations, {row['seeds']} seeds" for row in rows}))
        out.print(compare_table.table(rows, f"{options.task}, {seeds}: mean ± standard error"))
        out.print(compare_table.explanation(rows), soft_wrap=True)
        for table in safety_table.tables({row["algorithm"]: row["safety"] for row in rows}):
            out.print(table)
        out.print(f"{safety_table.OF_RUNS}\nrun directory {folder.path}", soft_wrap=True)
    for name, why in result["failures"].items():
        out.print(f"{name} is left out: {why}", soft_wrap=True)
    if stop.received:
        return interrupted(stop.received or signal.SIGINT)
    return {FINISHED: OK, NEGATIVE_COST: BAD_INPUT}.get(result["status"], NONFINITE)
