"""The settings that a tuning varies: intervals of traced settings, and choices of any."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from espo_jax.hyperparams import SETTINGS as HYPERPARAM_SETTINGS
from espo_jax.settings import shown
from espo_jax.sweeps.axes import Axis, Range, check_name, parse_values

# Trials that differ in them have other rewards, or another constraint: the better one is no better setting.
_NOT_TUNED = ("task", "backend", "reward", "cost_limit")
_DIGITS = 6  # of a number that is drawn: a float32 has seven, and people copy these


@dataclasses.dataclass(frozen=True)
class Dimension:
    """One setting that is tuned; either an interval or choices.

    Attributes:
      name: name of the setting.
      interval: where a number is drawn from; None for choices.
      choices: text of each choice -> its value; empty for an interval.
    """

    name: str
    interval: Range | None = None
    choices: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that are checked before anything runs: both ends of an interval, or all choices."""
        return (self.interval.low, self.interval.high) if self.interval else tuple(self.choices.values())

    @property
    def text(self) -> str | list[str]:
        """What is tuned, for study.json: as it is given."""
        if self.interval is None:
            return list(self.choices)
        return f"{self.interval.low!r}:{self.interval.high!r}:{self.interval.scale}"

    def distribution(self, optuna: Any) -> Any:
        """The distribution of Optuna to draw from. On a log scale of negative numbers it has their absolute values."""
        if self.interval is None:
            return optuna.distributions.CategoricalDistribution(tuple(self.choices))
        low, high = self.interval.low, self.interval.high
        if self._is_mirrored:
            low, high = -high, -low
        return optuna.distributions.FloatDistribution(low, high, log=self.interval.scale == "log")

    def rounded(self, drawn: Any) -> Any:
        """What is drawn, a number with few digits."""
        if self.interval is None:
            return drawn
        low, high = sorted(map(abs, self.ends)) if self._is_mirrored else self.ends
        return min(max(float(f"{drawn:.{_DIGITS}g}"), low), high)

    def value(self, drawn: Any) -> Any:
        """The value of the setting for what is drawn."""
        if self.interval is None:
            return self.choices[drawn]
        return -drawn if self._is_mirrored else drawn

    @property
    def _is_mirrored(self) -> bool:
        return self.interval is not None and self.interval.scale == "log" and self.interval.high < 0


def parse_space(ranges: Sequence[str], choices: Sequence[str]) -> tuple[Dimension, ...]:
    """What is tuned, from texts such as target_kl=0.005:0.05:log and algorithm=espo,crpo.

    Raises:
      ValueError: naming the setting and what is allowed.
    """
    found = [_parse_range(text) for text in ranges] + [_parse_choice(text) for text in choices]
    if not found:
        raise ValueError("nothing is tuned: give range, such as target_kl=0.005:0.05:log, or choice")
    names = [dimension.name for dimension in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"range and choice name {', '.join(twice)} twice")
    return tuple(found)


def corners(space: Sequence[Dimension]) -> Axis:
    """Points to check before anything runs: the first one, and one for each other end and choice of each setting."""
    first = {dimension.name: dimension.ends[0] for dimension in space}
    points = [first] + [{**first, each.name: end} for each in space for end in each.ends[1:]]
    return Axis(tuple(first), tuple(tuple(point.values()) for point in points))


def _parse_range(text: str) -> Dimension:
    name, equals, interval = text.partition("=")
    name = name.strip().replace("-", "_")
    if not equals:
        raise ValueError(f"range is {shown(text)}: it must be name=low:high:log or name=low:high:linear")
    _check("range", name)
    declared = HYPERPARAM_SETTINGS.get(name)
    if declared is None:
        raise ValueError(
            f"range {name}: {name} is a static setting, every value of which compiles a program; give some values "
            "with choice"
        )
    if isinstance(declared.default, int):  # True and False too
        raise ValueError(f"range {name}: {name} is no real number; give some values with choice")
    found = Dimension(name, Range.parse(name, interval))
    for end in found.ends:
        declared.check(f"range {name}", end)
    return found


def _parse_choice(text: str) -> Dimension:
    name, _, values = text.partition("=")
    try:
        name, parsed = parse_values(text)
        Axis((name,), tuple((value,) for value in parsed))
    except ValueError as error:
        raise ValueError(str(error).replace("axis ", "choice ", 1)) from None
    _check("choice", name)
    texts = [value.strip() for value in values.split(",")]
    if len(parsed) < 2:
        raise ValueError(f"choice {name} is {shown(values)}: it must have at least two values")
    if len(set(map(str, parsed))) < len(parsed):
        raise ValueError(f"choice {name} is {shown(values)}: it has one value twice")
    return Dimension(name, choices=dict(zip(texts, parsed, strict=True)))


def _check(what: str, name: str) -> None:
    """Refuse what is no setting, or cannot be tuned."""
    try:
        check_name(name)
    except ValueError as error:
        raise ValueError(str(error).replace("axis ", f"{what} ", 1)) from None
    if name in _NOT_TUNED:
        raise ValueError(f"{what} {name}: trials with another {name} cannot be compared; give one for all trials")
