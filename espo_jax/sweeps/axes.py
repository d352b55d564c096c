"""Axes of a sweep: which settings vary, and the values that they take."""

import dataclasses
import difflib
import itertools
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from espo_jax.config import Config
from espo_jax.hyperparams import SETTINGS as HYPERPARAM_SETTINGS
from espo_jax.runs.options import RunOptions
from espo_jax.settings import Setting, settings_of, shown

_OPTIONS = tuple(settings_of(RunOptions))
# Options of a run that make another program; the others are the same for all lanes of a sweep.
_STATIC_OPTIONS = ("task", "backend", "reward", "preset", "algorithm")
_SETTINGS: dict[str, Setting] = {**settings_of(RunOptions), **settings_of(Config), **HYPERPARAM_SETTINGS}
_KINDS = {name: kind for cls in (RunOptions, Config) for name, kind in typing.get_type_hints(cls).items()}
# What may vary. A setting that may change when a run goes on does not make another run.
NAMES = tuple(
    name
    for name, declared in _SETTINGS.items()
    if name in _STATIC_OPTIONS or (name not in _OPTIONS and not declared.changeable)
)
_SEEDS = re.compile(r"(\d+)(?:-(\d+))?")
MOST_LANES = 1_000_000


@dataclasses.dataclass(frozen=True)
class Axis:
    """Settings that vary together, and the values that they take one after the other.

    Attributes:
      names: names of the settings.
      points: one tuple of values for each point of the axis.
    """

    names: tuple[str, ...]
    points: tuple[tuple[Any, ...], ...]

    def __post_init__(self) -> None:
        """Check names and values.

        Raises:
          ValueError: naming the axis, the value and what is allowed.
        """
        for name in self.names:
            check_name(name)
        if not self.points:
            raise ValueError(f"axis {', '.join(self.names)} has no values")
        for point in self.points:
            for name, value in zip(self.names, point, strict=True):
                for part in value if isinstance(value, tuple | list) and name in HYPERPARAM_SETTINGS else [value]:
                    _SETTINGS[name].check(f"axis {name}", part, _KINDS.get(name, float))


@dataclasses.dataclass(frozen=True)
class Range:
    """An interval to draw a setting from.

    Attributes:
      low, high: ends.
      scale: "linear" or "log": in what the draws are uniform.
    """

    low: float
    high: float
    scale: str

    @classmethod
    def parse(cls, name: str, text: str) -> "Range":
        """A range from text such as 0.005:0.05:log.

        Raises:
          ValueError: naming the setting and what is allowed.
        """
        parts = text.split(":")
        try:
            if len(parts) != 3:
                raise ValueError
            return cls(float(parts[0]), float(parts[1]), parts[2]).checked(name)
        except ValueError as error:
            raise ValueError(
                str(error) if str(error).startswith("range") else
                f"range {name}={text}: it must be low:high:linear or low:high:log, such as 0.005:0.05:log"
            ) from None  # fmt: skip

    def checked(self, name: str) -> "Range":
        """The range itself.

        Raises:
          ValueError: it is empty, or no setting of numbers can be drawn from it.
        """
        check_name(name)
        if _SETTINGS[name].choices or _kind(name) not in (int, float):
            raise ValueError(f"range {name}: {name} is not a number; give its values with grid")
        if self.scale not in ("linear", "log"):
            raise ValueError(f"range {name}: scale is {shown(self.scale)}: it must be one of linear, log")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"range {name} is {self.low:g} to {self.high:g}: low must be below high, and both finite")
        if self.scale == "log" and self.low * self.high <= 0:
            raise ValueError(f"range {name} is {self.low:g} to {self.high:g}: a log scale needs ends of one sign")
        return self

    def at(self, share: float) -> float:
        """The value at a share in [0, 1] of the range."""
        if self.scale == "linear":
            return self.low + share * (self.high - self.low)
        return math.copysign(abs(self.low) * (self.high / self.low) ** share, self.low)


def grid(**values: Iterable[Any]) -> list[Axis]:
    """One axis for each setting; a sweep has every combination of their points."""
    return [Axis((name,), tuple((value,) for value in points)) for name, points in values.items()]


def zipped(**values: Sequence[Any]) -> Axis:
    """One axis of settings that vary together.

    Raises:
      ValueError: the settings have different numbers of values.
    """
    counts = {name: len(points) for name, points in values.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"zip has different numbers of values: {counts}")
    return Axis(tuple(values), tuple(zip(*values.values(), strict=True)))


def random(count: int, seed: int = 0, **ranges: Range) -> Axis:
    """One axis of settings that are drawn independently. The first draws of a larger count are the same.

    Args:
      count: number of points.
      seed: seed of the draws.
      **ranges: where to draw each setting from.

    Raises:
      ValueError: the count is not positive, or a range is not usable.
    """
    if not 1 <= count <= MOST_LANES or not ranges:
        raise ValueError(f"random is {count} draws from {len(ranges)} ranges: it must be at least 1 of each")
    for name, interval in ranges.items():
        interval.checked(name)
    shares = np.random.default_rng(seed).random((count, len(ranges)))
    points = [
        tuple(
            round(interval.at(share)) if _kind(name) is int else float(np.float32(interval.at(share)))
            for (name, interval), share in zip(ranges.items(), row, strict=True)
        )
        for row in shares
    ]
    return Axis(tuple(ranges), tuple(dict.fromkeys(points)))


def combinations(axes: Sequence[Axis]) -> list[dict[str, Any]]:
    """Every combination of the points of some axes, as settings; the last axis varies fastest.

    Raises:
      ValueError: two axes vary the same setting, or there are too many combinations.
    """
    names = [name for axis in axes for name in axis.names]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two axes vary {', '.join(twice)}")
    if (count := math.prod(len(axis.points) for axis in axes)) > MOST_LANES:
        raise ValueError(f"the axes have {count:,} combinations: at most {MOST_LANES:,} are possible")
    return [
        {name: value for axis, point in zip(axes, points, strict=True) for name, value in zip(axis.names, point)}  # noqa: B905
        for points in itertools.product(*(axis.points for axis in axes))
    ]


def check_name(name: str) -> None:
    """Refuse what is no setting, or cannot vary in a sweep.

    Raises:
      ValueError: naming the closest setting, or why it cannot vary.
    """
    if name in NAMES:
        return
    if name in ("seed", "seeds"):
        raise ValueError("axis seed: every point of a sweep has the same seeds; give them with seeds")
    if name in _SETTINGS:
        raise ValueError(f"axis {name}: all lanes of a sweep have the same {name}; give it once for all of them")
    close = difflib.get_close_matches(name, NAMES, n=1)
    raise ValueError(f"axis {name}: there is no such setting" + (f"; did you mean {close[0]}?" if close else ""))


def parse_values(text: str) -> tuple[str, tuple[Any, ...]]:
    """Name and values from text such as cost_limit=25,50. Numbers of one value are joined by colons: 64:64.

    Raises:
      ValueError: naming the setting and the value.
    """
    name, equals, values = text.partition("=")
    name = name.strip().replace("-", "_")
    if not equals:
        raise ValueError(f"axis {shown(text)}: it must be name=value,value,...")
    check_name(name)
    return name, tuple(_parse(name, value.strip()) for value in values.split(","))


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds from text such as 0-9 or 0,3,5-7.

    Raises:
      ValueError: saying what is allowed.
    """
    found: list[int] = []
    for part in text.split(","):
        match = _SEEDS.fullmatch(part.strip())
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if high < low or high - low >= MOST_LANES:
            raise ValueError(f"seeds is {shown(text)}: it must be numbers and ranges, such as 0-9 or 0,3,5-7")
        found += range(low, high + 1)
    return tuple(dict.fromkeys(found))


def _kind(name: str) -> Any:
    """Type of a setting, without None."""
    kind = _KINDS.get(name, type(HYPERPARAM_SETTINGS[name].default) if name in HYPERPARAM_SETTINGS else float)
    kinds = [k for k in typing.get_args(kind) if k is not type(None)] if isinstance(kind, types.UnionType) else [kind]
    return float if name in HYPERPARAM_SETTINGS and kinds[0] is not bool else kinds[0]


def _parse(name: str, text: str) -> Any:
    """A value of a setting from text."""
    kind = _kind(name)
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if kind == tuple[int, ...]:
            return tuple(int(part) for part in text.split(":"))
        if _SETTINGS[name].per_constraint and ":" in text:
            return tuple(float(part) for part in text.split(":"))
        return kind(text)
    except (KeyError, ValueError):
        what = "True or False" if kind is bool else "a number"
        raise ValueError(f"axis {name} has the value {shown(text)}: it must be {what}") from None


def numbers_of(settings: Mapping[str, Any], name: str) -> list[float]:
    """A setting as a list of numbers, one for each constraint."""
    return np.atleast_1d(np.asarray(settings[name], np.float64)).tolist()
