"""Checks of settings; each error names the field, its value and what is allowed."""

import numbers
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


def require_int(name: str, value: Any) -> None:
    """Refuse what is not a positive integer."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not 1 <= int(value) < 2**31:
        raise ValueError(f"{name} is {value!r}: it must be a positive integer below 2^31")


def require_number(name: str, value: Any) -> None:
    """Refuse what is not a number (one that is nan passes)."""
    if not isinstance(value, numbers.Real | np.bool_):
        raise ValueError(f"{name} is {value!r}: it must be a number")


def require_bool(name: str, value: Any) -> None:
    """Refuse what is neither true nor false."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} is {value!r}: it must be True or False")


def choose(name: str, value: Any, choices: Mapping[str, T]) -> T:
    """What a name stands for; a name that is not among the choices is refused.

    Args:
      name: the field that holds the name.
      value: the name.
      choices: what each known name stands for.
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} is {value!r}: it must be one of {', '.join(choices)}")
    return choices[value]


def require_range(
    name: str, value: float, low: float, high: float, *, open_low: bool = False, open_high: bool = False
) -> None:
    """Refuse what lies outside of low to high, nan included."""
    require_number(name, value)
    above = value > low if open_low else value >= low
    below = value < high if open_high else value <= high
    if not (above and below):  # also when value is nan
        bounds = f"{'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
        raise ValueError(f"{name} is {value:g}: it must lie in {bounds}")
