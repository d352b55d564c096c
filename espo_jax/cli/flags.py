"""The flags of `espo`: they derive from the declared settings, and their errors are one line."""

import contextlib
import dataclasses
import difflib
import io
import itertools
import re
import types
import typing
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import tyro

from espo_jax.cli import groups
from espo_jax.cli.common import BadInputError, refusing
from espo_jax.runs import files
from espo_jax.settings import MISSING, Setting, settings_of

T = TypeVar("T")
_REPEATED = tyro.conf.UseAppendAction


def flags_of(*classes: type, defaults: Mapping[str, Any] | None = None, without: Collection[str] = ()) -> type:
    """A dataclass with a flag for every declared setting of some dataclasses.

    Args:
      *classes: dataclasses of settings.
      defaults: defaults of settings, where they are not the declared ones.
      without: names of settings that have no flag.
    """
    given_defaults = defaults or {}
    fields: list[tuple[str, Any, Any]] = []
    for cls in classes:
        kinds = typing.get_type_hints(cls)
        for name, declared in settings_of(cls).items():
            if name in without:
                continue
            default = given_defaults.get(name, None if declared.none else declared.default)
            kind = _kind(declared, kinds[name], default)
            if declared.per_constraint and default is not None:
                default = tuple(np.atleast_1d(default).tolist())
            hint = f"(default: {declared.none.replace('_', '-')})" if default is None else None
            aliases = (declared.alias,) if declared.alias else ()
            arg = tyro.conf.arg(help=_help(declared), metavar=_metavar(kind), help_behavior_hint=hint, aliases=aliases)
            field = dataclasses.field() if default is MISSING else dataclasses.field(default=default)
            annotated: Any = Annotated[kind, arg]
            if declared.positional or declared.repeated:
                annotated = _marked(annotated, tyro.conf.Positional if declared.positional else _REPEATED)
            fields.append((name, annotated, field))
    return dataclasses.make_dataclass("Flags", fields)


def given(cls: type, argv: list[str], *classes: type) -> set[str]:
    """The fields of a dataclass of flags that argv names.

    Args:
      cls: from `flags_of`.
      argv: the command line.
      *classes: the dataclasses of settings that cls was made from.
    """
    aliases = {s.alias: name for source in classes for name, s in settings_of(source).items() if s.alias}
    found = set()
    for token in argv:
        flag = token.split("=", 1)[0]
        if flag.startswith("--"):
            name = aliases.get(flag, flag[2:]).replace("-", "_")
            found |= {name, name.removeprefix("no_")}
    return found & {field.name for field in dataclasses.fields(cls)}


def words(name: str, value: Any) -> list[str]:
    """A setting as words of the command line."""
    flag, value = name.replace("_", "-"), files.strict(value)
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    if not isinstance(value, list):
        return [f"--{flag}={value}"]
    if value and all(isinstance(part, str) and "=" in part for part in value):  # a flag that is given several times
        return [f"--{flag}={part}" for part in value]
    return [f"--{flag}", *map(str, value)] if len(value) > 1 else [f"--{flag}={part}" for part in value]


def parse_options(cls: type[T], argv: list[str], prog: str, description: str) -> T:
    """Parse the flags of a command whose options are one dataclass of settings."""
    values = vars(parse(flags_of(cls), argv, prog, description))
    with refusing():
        return cls(**values)


def parse(cls: type[T], argv: list[str], prog: str, description: str) -> T:
    """tyro.cli, whose boxed errors become one line; the flags of a training are shown in groups."""
    printed = io.StringIO()
    is_training = "cost_limit" in cls.__annotations__
    shown: Any = groups.grouped(cls) if is_training else cls
    try:
        with contextlib.redirect_stderr(printed):
            found = tyro.cli(shown, args=argv, prog=prog, description=description, config=(tyro.conf.OmitArgPrefixes,))
            return groups.flattened(found, cls) if is_training else found
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


def _marked(kind: Any, mark: Any) -> Any:
    return Annotated[kind, mark]


def _kind(declared: Setting, annotation: Any, default: Any) -> Any:
    """Type of a flag."""
    if declared.per_constraint:
        kind: Any = tuple[float, ...]
    elif declared.choices is not None and not declared.own:
        kind = Literal.__getitem__(tuple(declared.choices))
    elif not isinstance(annotation, type | types.UnionType | types.GenericAlias) or annotation.__module__ == "jax":
        kind = type(declared.default)
    else:
        return annotation | None if default is None else annotation
    return typing.Optional[kind] if default is None else kind  # noqa: UP045 - the choices are not static


def _help(declared: Setting) -> str:
    """Words of a setting, its symbol in the paper and its range."""
    symbol = f"{declared.symbol} in the paper" if declared.symbol else ""
    interval = f"in {declared.range}" if declared.range and not isinstance(declared.default, bool) else ""
    names = f"{', '.join(declared.choices or ())} or module:name of your own code" if declared.own else ""
    of_each = "one for each of the K constraints, or one for all" if declared.per_constraint else ""
    in_brackets = "; ".join(filter(None, (names, symbol, interval, of_each)))
    return declared.flag_words + declared.words + (f" ({in_brackets})" if in_brackets else "")


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
    if typing.get_origin(parts[0]) is tuple:
        of_each = [part.__name__.upper() for part in typing.get_args(parts[0]) if part is not Ellipsis]
        return f"{of_each[0]} [{of_each[0]} ...]" if Ellipsis in typing.get_args(parts[0]) else " ".join(of_each)
    return parts[0].__name__.upper()
