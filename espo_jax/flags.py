"""The flags of `espo`: every setting flat, its help from the docstrings, its errors on one line."""

import argparse
import collections
import contextlib
import dataclasses
import difflib
import inspect
import io
import itertools
import re
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NoReturn, TypeVar

import numpy as np
import tyro

from espo_jax.config import (
    CONFLICT_METRICS,
    CONFLICT_RESOLUTIONS,
    CRITIC_OPTIMIZERS,
    MULTIPLIER_OPTIMIZERS,
    SAMPLE_SIZE_RULES,
    Config,
)
from espo_jax.hyperparams import HYPERPARAM_DEFAULTS, PER_CONSTRAINT, Hyperparams

T = TypeVar("T")

_CHOICES = {
    "sample_size_rule": SAMPLE_SIZE_RULES,
    "conflict_metric": CONFLICT_METRICS,
    "conflict_resolution": CONFLICT_RESOLUTIONS,
    "critic_optimizer": CRITIC_OPTIMIZERS,
    "multiplier_optimizer": MULTIPLIER_OPTIMIZERS,
}
_ALIASES = {"sample_size_rule": ("--sample-size",)}
# Where the command line means more than the field.
_EXTRA_HELP = {"num_iterations": "iterations to run; also "}
# What None stands for.
_UNSET = {
    "num_timesteps": "no such limit",
    "backend": "mujoco on a CPU, exact physics that run there on an accelerator",
    "run_dir": "a new one in runs/",
    "resume": "a new run",
    "cost_limit": "the task's own",
    "max_zeta_positive": "zeta-positive",
    "episode_length": "the task's own",
    "sample_size_rule": "the algorithm's own",
}


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """What a run is of; the rest of its flags are the fields of Config and Hyperparams.

    Args:
      task: what to train on, see `espo tasks`.
      algorithm: what to train with.
      backend: physics, see `espo tasks`.
      reward: "task", what the published agents train on, or "step", with Gymnasium's healthy and control terms.
      preset: where settings that are not given come from.
      seed: of all randomness.
      num_timesteps: stop when this many samples are taken, if that is before num-iterations.
      num_eval_episodes: episodes of an evaluation; 0 leaves all evaluations out.
      eval_interval: iterations between evaluations while training; 0 leaves those out.
      checkpoint_iterations: iterations between checkpoints; 0 is no such interval.
      checkpoint_minutes: minutes between checkpoints; inf is no such interval.
      log: where metrics go beside metrics.jsonl: tensorboard, wandb or both, separated by a comma.
      run_dir: folder to create for the results.
      resume: run directory to go on in, with the settings that it has.
    """

    task: str = "safety_reacher"
    algorithm: str = "espo"
    backend: str | None = None
    reward: str = "task"
    preset: str = "paper"
    seed: int = 0
    num_timesteps: int | None = None
    num_eval_episodes: int = 20
    eval_interval: int = 50
    checkpoint_iterations: int = 0
    checkpoint_minutes: float = 5.0
    log: str = ""
    run_dir: str | None = None
    resume: str | None = None


@dataclasses.dataclass(frozen=True)
class CompareOptions:
    """What a comparison is of; the rest of its flags are the fields of Config and Hyperparams, for all algorithms.

    Args:
      task: what to train on, see `espo tasks`.
      algorithms: what to train with, separated by commas.
      seeds: how many seeds each, vmapped in one program.
      backend: physics, see `espo tasks`.
      reward: "task", what the published agents train on, or "step", with Gymnasium's healthy and control terms.
      preset: where settings that are not given come from, for each algorithm its own.
      log: where each seed's metrics go beside metrics.jsonl: tensorboard, wandb or both, separated by a comma.
      run_dir: folder to create for the results.
    """

    task: str = "safety_reacher"
    algorithms: str = "espo,crpo,pcrpo"
    seeds: int = 3
    backend: str | None = None
    reward: str = "task"
    preset: str = "paper"
    log: str = ""
    run_dir: str | None = None


@dataclasses.dataclass(frozen=True)
class EvalOptions:
    """What to judge.

    Args:
      run_dir: run directory whose policy is judged.
      episodes: of each policy on each physics.
      backend: physics, several separated by commas; the first is what the others are compared with.
      seed: of resets and actions.
      best_safe: judge the best checkpoint within the limits instead of the last policy.
      output: JSON file to write.
    """

    run_dir: tyro.conf.Positional[str]
    episodes: int = 100
    backend: Annotated[str | None, tyro.conf.arg(metavar="STR", help_behavior_hint="(default: that of the run)")] = None
    seed: int = 0
    best_safe: bool = False
    output: Annotated[
        str | None, tyro.conf.arg(metavar="STR", help_behavior_hint="(default: a file in the run directory)")
    ] = None


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """What to write.

    Args:
      run_dir: run directory whose policy is written.
      formats: separated by commas; stablehlo (jax.export) and onnx.
      best_safe: the best checkpoint within the limits instead of the last policy.
      output: folder for the files.
    """

    run_dir: tyro.conf.Positional[str]
    formats: str = "stablehlo"
    best_safe: bool = False
    output: Annotated[str | None, tyro.conf.arg(metavar="STR", help_behavior_hint="(default: the run directory)")] = (
        None
    )


@dataclasses.dataclass(frozen=True)
class PlotOptions:
    """What to draw.

    Args:
      run_dirs: run directories.
      group_by: settings, separated by commas, whose values make the groups that are averaged.
      x: "iteration" or "env_steps".
      output: picture to write; its suffix says which format.
    """

    run_dirs: tyro.conf.Positional[tuple[str, ...]]
    group_by: str = "algorithm"
    x: str = "iteration"
    output: str = "plot.png"


@dataclasses.dataclass(frozen=True)
class ReplayOptions:
    """What to repeat.

    Args:
      run_dir: run directory of the run to repeat.
      num_iterations: how many of its iterations.
    """

    run_dir: tyro.conf.Positional[str]
    num_iterations: Annotated[
        int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="(default: all that it logged)")
    ] = None


@dataclasses.dataclass(frozen=True)
class RenderOptions:
    """What to film.

    Args:
      run_dir: run directory whose policy acts.
      output: film to write, .mp4 or .gif.
      seed: of reset and actions.
      stochastic: sample actions instead of the policy's mean.
      best_safe: the best checkpoint within the limits instead of the last policy.
      steps: control steps at most.
      fps: frames of a second, of simulated time; control steps are left out where there are more.
      width: in pixels.
      height: in pixels.
    """

    run_dir: tyro.conf.Positional[str]
    output: Annotated[
        str | None, tyro.conf.arg(metavar="STR", help_behavior_hint="(default: episode.mp4 in the run directory)")
    ] = None
    seed: int = 0
    stochastic: bool = False
    best_safe: bool = False
    steps: int = 1000
    fps: int = 30
    width: int = 640
    height: int = 480


@dataclasses.dataclass(frozen=True)
class ReportOptions:
    """What to report.

    Args:
      run_dir: run directory.
      output: page to write.
      seed: of the episode that plays in it.
      best_safe: the best checkpoint within the limits plays instead of the last policy.
    """

    run_dir: tyro.conf.Positional[str]
    output: Annotated[
        str | None, tyro.conf.arg(metavar="STR", help_behavior_hint="(default: report.html in the run directory)")
    ] = None
    seed: int = 0
    best_safe: bool = False


class BadInputError(Exception):
    """Something the user gave is not usable; the message says what and what is."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are BadInputError."""

    def error(self, message: str) -> NoReturn:
        """Refuse the input."""
        raise BadInputError(message)


def settings_flags(options: type, defaults: Mapping[str, Any]) -> type:
    """A dataclass of every flag of a command: its options, and the fields of Config and Hyperparams.

    Args:
      options: RunOptions or CompareOptions.
      defaults: of settings, where they are not those of Config and Hyperparams.
    """
    fields: list[tuple[str, Any, Any]] = []

    def add(cls: type, name: str, kind: Any, default: Any) -> None:
        text = _EXTRA_HELP.get(name, "") + _help(cls)[name]
        hint = f"(default: {_UNSET[name]})" if default is None else None
        arg = tyro.conf.arg(help=text, metavar=_metavar(kind), help_behavior_hint=hint, aliases=_ALIASES.get(name, ()))
        fields.append((name, Annotated[kind, arg], dataclasses.field(default=default)))

    for field in dataclasses.fields(options):
        add(options, field.name, typing.get_type_hints(options)[field.name], field.default)
    for field in dataclasses.fields(Hyperparams):
        default = defaults.get(field.name, HYPERPARAM_DEFAULTS.get(field.name))
        if field.name in PER_CONSTRAINT:
            several = tuple[float, ...]
            if default is None:
                add(Hyperparams, field.name, several | None, None)
            else:
                add(Hyperparams, field.name, several, tuple(np.atleast_1d(default).tolist()))
        else:
            add(Hyperparams, field.name, type(default), default)
    for field in dataclasses.fields(Config):
        kind = typing.get_type_hints(Config)[field.name]
        default = defaults.get(field.name, field.default)
        if field.name in _CHOICES:
            kind = Literal.__getitem__(_CHOICES[field.name])
            kind = typing.Optional[kind] if default is None else kind  # noqa: UP045 - the choices are not static
        if field.name == "max_zeta_positive":
            kind, default = float | None, defaults.get(field.name)
        add(Config, field.name, kind, default)
    return dataclasses.make_dataclass("Flags", fields)


def given(cls: type, argv: list[str]) -> set[str]:
    """The fields of a dataclass of flags that argv names."""
    aliases = {alias: name for name, names in _ALIASES.items() for alias in names}
    names = set()
    for token in argv:
        flag = token.split("=", 1)[0]
        if flag.startswith("--"):
            name = aliases.get(flag, flag[2:]).replace("-", "_")
            names |= {name, name.removeprefix("no_")}
    return names & {field.name for field in dataclasses.fields(cls)}


def _help(cls: type) -> dict[str, str]:
    """The Args section of a class's docstring: name -> text; "a, b: text" holds for both."""
    section = re.search(r"\nArgs:\n(.*?)(?=\n\S|\Z)", inspect.getdoc(cls) or "", re.DOTALL)
    texts: dict[str, str] = collections.defaultdict(str)
    for entry in re.findall(r"^  (\w.*(?:\n    .*)*)", section[1] if section else "", re.MULTILINE):
        names, text = entry.split(": ", 1)
        texts.update(dict.fromkeys(names.split(", "), " ".join(text.split())))
    return texts


def parse(cls: type[T], argv: list[str], prog: str, description: str) -> T:
    """tyro.cli, whose boxed errors become one line."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return tyro.cli(cls, args=argv, prog=prog, description=description)
    except SystemExit as exit_:
        if not exit_.code:
            raise
    # Parts between rules: the error, suggestions, hints; where stdout is not UTF-8 the box's title comes before.
    text = printed.getvalue()
    rows = [line.strip("│ ") for line in text.splitlines() if line[:1] not in ("╭", "╰")]
    parts = [
        " ".join(part) for any_text, part in itertools.groupby(rows, lambda row: row.strip("─-") != "") if any_text
    ]
    error = parts[0 if "╭" in text else 1]
    raise BadInputError(error + _suggestion(cls, error))


def _suggestion(cls: type, error: str) -> str:
    """The flag that was probably meant by the first of the unrecognized ones."""
    unknown = re.search(r"Unrecognized options: (--[\w-]+)", error)
    flags = ["--" + field.name.replace("_", "-") for field in dataclasses.fields(cls)]
    close = difflib.get_close_matches(unknown[1], flags, n=1) if unknown else []
    return f" (did you mean {close[0]}?)" if close else ""


def _metavar(kind: Any) -> str | None:
    """FLOAT for `float | None`, where tyro would say {None}|FLOAT; None leaves it to tyro."""
    parts = typing.get_args(kind)
    if type(None) not in parts or typing.get_origin(parts[0]) is Literal:
        return None
    return parts[0].__name__.upper() if isinstance(parts[0], type) else "FLOAT [FLOAT ...]"
