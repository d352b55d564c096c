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

from espo_jax.config import CHOICES, Config
from espo_jax.hyperparams import HYPERPARAM_DEFAULTS, PER_CONSTRAINT, Hyperparams

T = TypeVar("T")

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
    "slack_positive": "10 % of the limit",
    "slack_negative": "-10 % of the limit",
    "max_zeta_positive": "zeta-positive",
    "episode_length": "the task's own",
    "sample_size_rule": "the algorithm's own",
}


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
        if field.name in CHOICES:
            kind = Literal.__getitem__(tuple(CHOICES[field.name]))
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
