"""`espo sweep`: many runs as one program."""

import dataclasses
import functools
import shlex
import signal
from pathlib import Path
from typing import Any

from espo_jax.cli.common import BAD_INPUT, LOST, NONFINITE, OK, allow_typed, console, finishing, interrupted, refusing
from espo_jax.cli.flags import flags_of, given, parse
from espo_jax.cli.settings_file import SettingsFile, expand
from espo_jax.config import Config
from espo_jax.environments import named_env
from espo_jax.hyperparams import Hyperparams
from espo_jax.results import sweep_read
from espo_jax.runs import output
from espo_jax.runs.options import RunOptions
from espo_jax.runs.place import stamped
from espo_jax.runs.result import FINISHED, NEGATIVE_COST
from espo_jax.runs.signals import Interrupted, Stop, finish_first
from espo_jax.sweeps import dry_run, hosts, slurm, sweep, table
from espo_jax.sweeps.axes import parse_seeds
from espo_jax.sweeps.folder import SweepFolder
from espo_jax.sweeps.options import NOT_OF_A_SWEEP, SweepOptions
from espo_jax.sweeps.plan import MakeEnv, lanes_of, programs_of
from espo_jax.sweeps.progress import Report
from espo_jax.sweeps.sweep import Worker


def command(argv: list[str]) -> int:
    """Parse the flags and run the sweep; returns the exit code."""
    classes = (SweepOptions, RunOptions, SettingsFile, Hyperparams, Config)
    flags = flags_of(*classes, without=NOT_OF_A_SWEEP)
    allow_typed(argv)
    argv = expand(argv, flags.__annotations__)
    description = (
        "Train many runs, the lanes of a sweep, as one program for each combination of static settings. A setting that "
        "is given holds for all lanes; every other setting is that of the preset; the defaults shown here do not apply."
    )
    values = dict(vars(parse(flags, argv, "espo sweep", description)))
    names = {field.name for field in dataclasses.fields(flags)}
    of_sweep = {f.name: values[f.name] for f in dataclasses.fields(SweepOptions)}
    of_run = {f.name: values[f.name] for f in dataclasses.fields(RunOptions) if f.name in names}
    settings = {name: values[name] for name in given(flags, argv, Hyperparams, Config) if name in values}
    settings = {name: value for name, value in settings.items() if name not in of_sweep and name not in of_run}
    with refusing():
        options, run_options = SweepOptions(**of_sweep), RunOptions(**of_run)
    return best(options) if options.best else run(options, run_options, settings)


def best(options: SweepOptions) -> int:
    """Name the best safe lane of a sweep; returns the exit code.

    Raises:
      BadInputError: there is no such sweep.
    """
    with refusing():
        if options.sweep_dir is None:
            raise ValueError("best needs the folder of a sweep: give --sweep-dir")
        console().print(sweep_read.best_text(sweep_read.read_sweep(options.sweep_dir)), soft_wrap=True)
    return OK


def run(options: SweepOptions, run_options: RunOptions, settings: dict[str, Any], make_env: MakeEnv = named_env) -> int:
    """Plan a sweep and run it; returns the exit code.

    Args:
      options: what varies, and how the sweep runs.
      run_options: options that hold for all lanes.
      settings: flat fields of Config and Hyperparams that hold for all lanes.
      make_env: (task, backend, reward, env) -> one instance of the environment, see `named_env`.

    Raises:
      BadInputError: before anything is compiled.
    """
    out = console()
    with finish_first() as stop:
        with refusing():
            if options.distributed:
                hosts.join(options.distributed)
            if options.launcher == "slurm":
                slurm.check(options, run_options.backend, make_env)
            path = Path(options.sweep_dir) if options.sweep_dir else stamped(f"{run_options.task}-sweep")
            SweepFolder.check(path)
            make_env = functools.cache(make_env)
            lanes = lanes_of(make_env, run_options, settings, options.axes(), parse_seeds(options.seeds))
            checked = [sweep.check(program, make_env, options.pack_size) for program in programs_of(lanes)]
            if options.dry_run:
                for line in dry_run.lines(checked, options.lanes_per_group):
                    out.print(line, soft_wrap=True)
                return OK
            folder = SweepFolder.plan(path, lanes, options.lanes_per_group or sweep.lanes_per_group(checked))
        return _LAUNCH[options.launcher](folder, options, make_env, stop)


def work(folder: SweepFolder, options: SweepOptions, make_env: MakeEnv, stop: Stop) -> int:
    """Run what is not done of a sweep, and say how it stands; returns the exit code."""

    def run_all() -> int:
        Worker(folder, make_env, Report(console(), folder.manifest), stop, pack_size=options.pack_size).run()
        return _summary(folder)

    return finishing(run_all, stop, _again(folder))


def submit(folder: SweepFolder, options: SweepOptions, make_env: MakeEnv, stop: Stop) -> int:
    """Submit what is not done of a sweep to SLURM, and perhaps wait for it; returns the exit code.

    Raises:
      BadInputError: SLURM takes no job, or does not answer.
    """
    del make_env  # a job makes the environment by the names of its lanes
    out = console()
    try:
        with refusing():
            slurm.submit(folder, options, functools.partial(out.print, soft_wrap=True), stop)
            if not options.wait:
                out.print(f"{_again(folder)} says how the jobs stand, and submits what was lost", soft_wrap=True)
                return OK
            lost = slurm.wait(folder, functools.partial(out.print, soft_wrap=True))
    except Interrupted as error:
        output.say(f"{error}; the jobs stay with SLURM; go on with: {_again(folder)}")
        return interrupted(stop.received or signal.SIGINT)
    code = _summary(folder)
    if lost:
        output.say(f"{len(lost)} groups are not done: {', '.join(lost)[:300]}; go on with: {_again(folder)}")
    return code or (LOST if lost else OK)


_LAUNCH = {"local": work, "slurm": submit}


def _again(folder: SweepFolder) -> str:
    return f"the same command and --sweep-dir {shlex.quote(str(folder.path))}"


def _summary(folder: SweepFolder) -> int:
    """Print how the lanes stand; returns the exit code."""
    rows = folder.rows()
    console().print(table.summary(rows, folder.path), soft_wrap=True)
    failed = {row["status"] for row in rows} - {FINISHED, "planned", "running"}
    return OK if not failed else BAD_INPUT if failed == {NEGATIVE_COST} else NONFINITE
