"""The declaration of a setting, and everything that derives from it: checks, documentation, tables.

A setting is a field of a dataclass that `setting` or `traced` made. Its default, range, symbol in the paper and words
stand there and nowhere else; the command line (`espo_jax.cli.flags`), the checks and the docs read them.
"""

import dataclasses
import inspect
import math
import numbers
import re
import types
import typing
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import numpy as np

from espo_jax import own_code

T = TypeVar("T")

MISSING = dataclasses.MISSING
INT_RANGE = "[1, 2^31)"
MOST_CONSTRAINTS = 100  # each has a critic, and with every other one a gradient step's projection
_MOST_CHARACTERS = 4096  # as a path


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is declared of a setting.

    Attributes:
      default: value of a setting that is not given; MISSING where it must be given.
      words: what the setting is, for docstrings, `--help` and the docs.
      range: interval of allowed numbers, such as "[0, 1)"; empty where any number or no number is allowed.
      symbol: symbol in the paper.
      choices: what each allowed name stands for; None where the value is no name.
      own: whether a name module:attribute of the user's own code is allowed too.
      per_constraint: whether there is a value for each constraint.
      none: what the value None stands for.
      earlier: value with which versions behaved that did not have the setting yet; MISSING for a setting that every
        version had. A run without this setting can be read only if there is such a value.
      changeable: whether it may change when a run goes on.
      recorded: whether config.json has it.
      flag_words: what the command line says before the words, where a flag means more than the field.
      alias: second flag of the command line.
      positional: whether the command line takes it without a flag.
      repeated: whether its flag may be given several times, each time with one of its values.
    """

    default: Any
    words: str
    range: str = ""
    symbol: str = ""
    choices: Mapping[str, Any] | None = None
    own: bool = False
    per_constraint: bool = False
    none: str = ""
    earlier: Any = dataclasses.field(default_factory=lambda: MISSING)
    changeable: bool = False
    recorded: bool = True
    flag_words: str = ""
    alias: str = ""
    positional: bool = False
    repeated: bool = False

    def check(self, name: str, value: Any, kind: Any = float) -> None:
        """Refuse a value that is not allowed.

        Args:
          name: name of the setting, for the message.
          value: the value.
          kind: type of the setting; None is allowed where it is a union with None.

        Raises:
          ValueError: naming the field, the value and what is allowed.
        """
        kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
        if value is None and type(None) in kinds:
            return
        kind = kinds[0]
        if self.choices is not None:
            if not (self.own and own_code.is_own(value)):
                choose(name, value, self.choices)
        elif kind is bool:
            if not isinstance(value, bool | np.bool_):
                raise ValueError(f"{name} is {shown(value)}: it must be True or False")
        elif kind is int:
            require_int(name, value, self.range or INT_RANGE)
        elif kind is float:
            require_number(name, value)
            if self.range:
                require_range(name, float(value), self.range)
        elif kind == tuple[int, ...]:
            if not isinstance(value, tuple | list) or not all(map(_is_size, value)):
                raise ValueError(f"{name} is {shown(value)}: it must be a tuple of integers in {INT_RANGE}")
        elif kind == tuple[str, ...]:
            if not isinstance(value, tuple | list) or not all(isinstance(part, str) for part in value):
                raise ValueError(f"{name} is {shown(value)}: it must be a tuple of texts")
        elif kind is str and not (isinstance(value, str) and len(value) <= _MOST_CHARACTERS):
            raise ValueError(f"{name} is {shown(value)}: it must be text of at most {_MOST_CHARACTERS} characters")


def setting(default: Any, words: str, **options: Any) -> Any:
    """A field of a dataclass of settings; the options are the attributes of `Setting`."""
    declared = Setting(default, words, **options)
    return dataclasses.field(default=default, metadata={"setting": declared})


def traced(default: Any, words: str, **options: Any) -> Any:
    """A field whose value is a JAX array: the default is that of the declaration, not of the dataclass."""
    return dataclasses.field(metadata={"setting": Setting(default, words, **options)})


def settings_of(cls: type) -> dict[str, Setting]:
    """The declared settings of a dataclass by name."""
    return {f.name: f.metadata["setting"] for f in dataclasses.fields(cls) if "setting" in f.metadata}


def check_settings(instance: Any) -> None:
    """Check every setting of an instance of a dataclass.

    Raises:
      ValueError: naming the field, its value and what is allowed.
    """
    kinds = typing.get_type_hints(type(instance))
    for name, declared in settings_of(type(instance)).items():
        declared.check(name, getattr(instance, name), kinds[name])


def documented(cls: type[T]) -> type[T]:
    """Add the declared settings to the docstring of a dataclass, as its attributes."""
    lines = [f"  {name}: {sentence(declared)}" for name, declared in settings_of(cls).items()]
    text, raises, errors = inspect.cleandoc(cls.__doc__ or "").partition("\n\nRaises:\n")
    cls.__doc__ = f"{text}\n\nAttributes:\n" + "\n".join(lines) + f"{raises}{errors}\n"
    return cls


def sentence(declared: Setting) -> str:
    """What is declared of a setting in one sentence, for docstrings and `--help`."""
    parts = [declared.words]
    if declared.symbol:
        parts.append(f"{declared.symbol} in the paper")
    if declared.choices is not None:
        own = " or module:name of your own code" if declared.own else ""
        parts.append(f"one of {', '.join(declared.choices)}{own}")
    if declared.range:
        parts.append(f"in {declared.range}")
    if declared.per_constraint:
        parts.append("one value, or one for each constraint")
    if declared.default is not MISSING and (declared.default is not None or declared.none):
        parts.append(f"default: {declared.none if declared.default is None else _text(declared.default) or 'none'}")
    return "; ".join(parts)


def table(cls: type, without: Collection[str] = ()) -> str:
    """The settings of a dataclass as a Markdown table: name, symbol, default, range or names, words.

    Args:
      cls: the dataclass.
      without: names of settings that are left out.
    """
    rows = ["| setting | symbol | default | allowed | what it is |", "| --- | --- | --- | --- | --- |"]
    for name, declared in ((name, each) for name, each in settings_of(cls).items() if name not in without):
        allowed = ", ".join(f"`{choice}`" for choice in declared.choices) if declared.choices else declared.range
        allowed += ", `module:name`" if declared.own else ""
        default = declared.none if declared.default is None else f"`{_text(declared.default)}`"
        if declared.default is MISSING or declared.default in ("", ()):
            default = "none"
        words = declared.words + ("; one for each constraint" if declared.per_constraint else "")
        rows.append(f"| `{name}` | {declared.symbol} | {default} | {allowed} | {words} |".replace("  ", " "))
    return "\n".join(rows) + "\n"


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def shown(value: Any) -> str:
    """A value for a message, at most its first 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def choose(name: str, value: Any, choices: Mapping[str, T]) -> T:
    """What a name stands for; a name that is not among the choices is refused.

    Args:
      name: the field that holds the name.
      value: the name.
      choices: what each known name stands for.

    Raises:
      ValueError: naming the field, the name and the known names.
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} is {shown(value)}: it must be one of {', '.join(choices)}")
    return choices[value]


def require_number(name: str, value: Any) -> None:
    """Refuse a value that is not a number; nan passes."""
    if not isinstance(value, numbers.Real | np.bool_):
        raise ValueError(f"{name} is {shown(value)}: it must be a number")


def _is_size(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and _within(int(value), INT_RANGE)


def require_int(name: str, value: Any, interval: str) -> None:
    """Refuse a value that is not an integer in an interval such as "[1, 2^31)"."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not _within(int(value), interval):
        raise ValueError(f"{name} is {shown(value)}: it must be an integer in {interval}")


def require_range(name: str, value: float, interval: str) -> None:
    """Refuse a number outside of an interval such as "[0, 1)", and nan."""
    require_number(name, value)
    if not _within(value, interval):
        raise ValueError(f"{name} is {value:g}: it must lie in {interval}")


def _within(value: float, interval: str) -> bool:
    match = re.fullmatch(r"([\[(])(.+), (.+)([\])])", interval)
    assert match is not None, interval
    low, high = _end(match[2]), _end(match[3])
    above = value > low if match[1] == "(" else value >= low
    below = value < high if match[4] == ")" else value <= high
    return above and below  # False for nan


def _end(text: str) -> float:
    base, _, power = text.partition("^")
    return float(base) ** int(power) if power else float(base.replace(",", "")) if base != "-inf" else -math.inf
