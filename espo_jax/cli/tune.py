"""`espo tune`: the settings with the largest reward among those that keep the cost within its limit."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from espo_jax.cli.common import BAD_INPUT, NONFINITE, OK, allow_typed, console, finishing, refusing
from espo_jax.cli.flags import flags_of, given, parse, words
from espo_jax.cli.settings_file import SettingsFile, expand
from espo_jax.config import Config
from espo_jax.environments import named_env
from espo_jax.hyperparams import Hyperparams
from espo_jax.results.trial import Trial, best_of, best_text
from espo_jax.results.tune import Tuning
from espo_jax.results.tune_options import TuneOptions
from espo_jax.runs.options import RunOptions
from espo_jax.runs.signals import finish_first
from espo_jax.settings import settings_of
from espo_jax.sweeps.options import NOT_OF_A_SWEEP
from espo_jax.sweeps.plan import MakeEnv


def command(argv: list[str]) -> int:
    """Parse the flags and tune; returns the exit code."""
    classes = (TuneOptions, RunOptions, SettingsFile, Hyperparams, Config)
    flags = flags_of(*classes, without=NOT_OF_A_SWEEP)
    allow_typed(argv)
    argv = expand(argv, flags.__annotations__)
    description = (
        "Search for the settings with the largest reward among those that keep the cost within its limit, with Optuna. "
        "The same command goes on with --tune-dir, in several processes too. A setting that is given holds for all "
        "trials; every other setting is that of the preset; the defaults shown here do not apply."
    )
    values = dict(vars(parse(flags, argv, "espo tune", description)))
    of_tuning = {name: values[name] for name in settings_of(TuneOptions)}
    of_run = {name: values[name] for name in settings_of(RunOptions) if name in values}
    settings = {name: values[name] for name in given(flags, argv, *classes) if name not in (*of_tuning, *of_run)}
    with refusing():
        options, run_options = TuneOptions(**of_tuning), RunOptions(**of_run)
    return tune(options, run_options, settings)


def tune(
    options: TuneOptions, run_options: RunOptions, settings: Mapping[str, Any], make_env: MakeEnv = named_env
) -> int:
    """Tune, and print the best trial that is safe; returns the exit code.

    Args:
      options: what is tuned, and how.
      run_options: options of a run that hold for all trials.
      settings: flat fields of Config and Hyperparams that hold for all trials.
      make_env: (task, backend, reward, env) -> one instance of the environment, see `named_env`.

    Raises:
      BadInputError: before anything is compiled.
    """
    out = console()
    with finish_first() as stop:
        with refusing():
            tuning = Tuning.prepare(options, run_options, settings, make_env)

        def run_all() -> int:
            trials = tuning.run(out, stop)
            out.print(best_text(trials), soft_wrap=True)
            if best := best_of(trials):
                out.print(f"train with it: {train_command(run_options, settings, best)}", soft_wrap=True)
            out.print(f"folder {tuning.path}", soft_wrap=True)
            return _exit_code(trials)

        return finishing(run_all, stop, f"the same command and --tune-dir {shlex.quote(str(tuning.path))}")


def train_command(run_options: RunOptions, settings: Mapping[str, Any], trial: Trial) -> str:
    """The command line of `espo train` with the settings of a trial."""
    defaults = RunOptions()
    changed = {
        field.name: getattr(run_options, field.name)
        for field in dataclasses.fields(RunOptions)
        if field.name not in NOT_OF_A_SWEEP and getattr(run_options, field.name) != getattr(defaults, field.name)
    }
    values = {**changed, **settings, **trial.settings}
    values = {"task": run_options.task, **{name: value for name, value in values.items() if value is not None}}
    return shlex.join(["espo", "train", *(word for name, value in values.items() for word in words(name, value))])


def _exit_code(trials: Sequence[Trial]) -> int:
    """OK if a trial was judged; else what a run that fails in the same way has."""
    if any(trial.outcome for trial in trials):
        return OK
    return NONFINITE if any("nan or infinity" in trial.failure for trial in trials) else BAD_INPUT
