"""`espo train`: train on a task and write a run directory, or go on with one."""

import dataclasses
import shlex
import signal
from pathlib import Path
from typing import Any

from espo_jax import algorithms, presets
from espo_jax.cli import groups
from espo_jax.cli.common import (
    BAD_INPUT,
    NONFINITE,
    OK,
    UNWRITABLE,
    BadInputError,
    Parser,
    allow_typed,
    console,
    interrupted,
    refusing,
)
from espo_jax.cli.flags import flags_of, given, parse
from espo_jax.cli.settings_file import SettingsFile, expand
from espo_jax.config import Config
from espo_jax.environments import named_env
from espo_jax.hyperparams import Hyperparams
from espo_jax.results.task import task_of
from espo_jax.runs import output, prepare, result, run
from espo_jax.runs.options import RunOptions
from espo_jax.runs.place import MovedError
from espo_jax.runs.prepare import PreparedRun
from espo_jax.runs.run_config import RunConfig
from espo_jax.runs.signals import Stop, finish_first
from espo_jax.settings import setting


@dataclasses.dataclass(frozen=True)
class _Resume:
    """The flag that goes on with a run."""

    resume: str | None = setting(None, "run directory to go on with; the run keeps its settings", none="a new run")


def command(argv: list[str]) -> int:
    """Parse the flags, whose defaults are those of the task's preset, and train; returns the exit code."""
    classes = (RunOptions, _Resume, SettingsFile, Hyperparams, Config)
    allow_typed(argv)
    argv = expand(argv, flags_of(*classes).__annotations__)
    peek = Parser(add_help=False, allow_abbrev=False)
    for name in ("task", "algorithm", "preset"):
        peek.add_argument(f"--{name}", default=getattr(RunOptions, name))
    chosen, _ = peek.parse_known_args(argv)
    try:
        defaults = presets.preset(chosen.preset, chosen.task, chosen.algorithm)
    except ValueError as error:
        raise BadInputError(str(error)) from error
    description = (
        "Train on a task and write a run directory. The defaults shown are those of preset "
        f"{chosen.preset} for {chosen.task} and {chosen.algorithm}; what {chosen.algorithm} does not use is left out."
    )
    hidden = groups.unused(chosen.algorithm) if {"-h", "--help"} & set(argv) else ()
    flags = flags_of(*classes, defaults=defaults, without=hidden)
    values = dict(vars(parse(flags, argv, "espo train", description)))
    del values["config"]
    if (run_dir := values.pop("resume")) is not None:
        names = given(flags, argv, *classes) - {"resume"}
        if "run_dir" in names:
            raise BadInputError("--run-dir is the folder of a new run: it cannot be given with --resume")
        return resume(run_dir, {name: values[name] for name in names})
    with refusing():
        options = RunOptions(**{field.name: values.pop(field.name) for field in dataclasses.fields(RunOptions)})
    return train(options, values)


def train(options: RunOptions, settings: dict[str, Any], env: Any = None) -> int:
    """Train, and write a run directory; returns the exit code.

    Args:
      options: options of the run.
      settings: flat fields of Config and Hyperparams.
      env: environment to use in place of the named task.

    Raises:
      BadInputError: before anything is compiled.
    """
    with finish_first() as stop:
        with refusing():
            algorithms.find(options.algorithm)
            if env is None:
                env = named_env(*options.environment)
            stop.check()
            prepared = prepare.new_run(env, settings, options)
        return execute(prepared, stop)


def resume(run_dir: str, changes: dict[str, Any], env: Any = None) -> int:
    """Go on with a run at its newest whole checkpoint; returns the exit code.

    Args:
      run_dir: folder of the run.
      changes: flat settings; those that may not change must be what they are.
      env: environment to use in place of the run's task.

    Raises:
      BadInputError: before anything is compiled.
    """
    with finish_first() as stop:
        with refusing():
            path = Path(run_dir)
            run_config = RunConfig.read(path).changed(changes)
            prepared = prepare.resume(run_config, task_of(run_config) if env is None else env, path)
        return execute(prepared, stop)


def execute(prepared: PreparedRun, stop: Stop) -> int:
    """Run to the end, and say how it ended; returns the exit code."""
    out = console()
    path = prepared.directory.path
    log = f" --log {prepared.config.options.log}" if prepared.config.options.log else ""
    go_on = f"go on with: espo train --resume {shlex.quote(str(path))}{log}"
    try:
        found = run.execute(prepared, out, stop)
    except MovedError as error:
        output.say(f"{error}; where it is now, it can go on with --resume")
        return UNWRITABLE
    except OSError as error:
        output.say(f"{error}; what was written before is whole; {go_on}")
        return UNWRITABLE
    if found["status"] == result.FINISHED:
        out.print(result.summary(found, path), soft_wrap=True)
        return OK
    if found["status"] == result.INTERRUPTED:
        output.say(f"{found['message']}; {go_on}")
        return interrupted(stop.received or signal.SIGINT)
    output.say(f"{found['message']}; what ran until then is in {path}")
    return BAD_INPUT if found["status"] == result.NEGATIVE_COST else NONFINITE
