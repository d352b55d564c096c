"""Runs in groups: by the values of settings, refused where they cannot be averaged, cut to what all of them have."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from espo_jax.results.read import Records, Run
from espo_jax.runs.output import clean
from espo_jax.runs.records import series
from espo_jax.runs.run_config import OPTION_SETTINGS, RunConfig, is_same

AXES = {"iteration": "iteration", "env_steps": "environment steps"}
_MOST_POINTS = 500
_MOST_NAMED = 4  # settings, and values of one, in a message
# Settings in which runs of a group may differ: they do not say what is learned, only how it is computed.
_MAY_DIFFER = ("seed", "block_size", "rollout_chunk", "reset_pool_size", "max_zeta_positive")


class Configured(Protocol):
    """A run, whatever else is known of it."""

    @property
    def config(self) -> RunConfig:
        """Its settings."""


def group(runs: Sequence[Run], fields: Sequence[str]) -> dict[str, list[Records]]:
    """Group the records of runs by the values of settings, such as {"espo, zeta_negative -0.5": [...]}.

    Args:
      runs: from `read_run`.
      fields: names of settings or options of the runs.

    Raises:
      ValueError: a run does not have a field, or the runs of a group differ in more than their seed.
    """
    groups: dict[str, list[Run]] = {}
    order: dict[str, list[float]] = {}
    texts: dict[str, int] = {}
    for run in runs:
        recorded = {name: getattr(run.config.options, name) for name, each in OPTION_SETTINGS.items() if each.recorded}
        known = {**recorded, **run.config.settings()}
        for field in fields:
            if field not in known:
                raise ValueError(f"group_by is {field!r}: a run has no such setting, but for example algorithm")
        values = (known[f] if isinstance(known[f], str) else f"{f} {text_of(known[f])}" for f in fields)
        name = clean(", ".join(values))
        groups.setdefault(name, []).append(run)
        order[name] = [_place(known[f], texts) for f in fields]
    for name, members in groups.items():
        refuse_mixture(name, members, fields)
    names = sorted(groups, key=lambda name: order[name])  # numbers as numbers
    return {name: [run.records for run in groups[name]] for name in names}


def refuse_mixture(name: str, runs: Sequence[Configured], fields: Sequence[str]) -> None:
    """Refuse to average runs that differ in more than their seed.

    Args:
      name: name of the group.
      runs: its runs.
      fields: the settings that made the group.

    Raises:
      ValueError: naming the settings that differ, and the grouping that keeps the runs apart; or a seed that is there
        twice, which would make intervals too narrow.
    """
    if differing := differences(runs):
        named = [f"{field} ({_values(values)})" for field, values in list(differing.items())[:_MOST_NAMED]]
        more = len(differing) - len(named)
        what = ", ".join(named) + (f" and {more} more settings" if more else "")
        apart = ",".join([*fields, *[field for field in list(differing)[:_MOST_NAMED] if field not in fields]])
        raise ValueError(f"the group {name!r} averages runs that differ in {what}: --group-by {apart} keeps them apart")
    seeds = [run.config.options.seed for run in runs]
    if twice := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
        raise ValueError(f"the group {name!r} has seed {twice[0]} {seeds.count(twice[0])} times: give each run once")


def differences(runs: Sequence[Configured]) -> dict[str, list[Any]]:
    """The settings in which runs differ, their seed aside, with their values in the order of the runs."""
    identities = [run.config.identity() for run in runs]
    found: dict[str, list[Any]] = {}
    for field in identities[0]:
        values = [identity[field] for identity in identities]
        different: list[Any] = []
        for value in values:
            if not any(value == other or is_same(value, other) for other in different):
                different.append(value)
        if len(different) > 1 and field not in _MAY_DIFFER:
            found[field] = different
    return found


def _place(value: Any, texts: dict[str, int]) -> float:
    """The place of a value among others: numbers as numbers, the first of several; texts as they come.

    Args:
      value: value of a setting.
      texts: the place of each text so far; it is added to.
    """
    first = value[0] if isinstance(value, list | tuple) and value else value
    return float(first) if isinstance(first, int | float) else float(texts.setdefault(str(first), len(texts)))


def _values(values: Sequence[Any]) -> str:
    shown = [text_of(value) for value in values[:_MOST_NAMED]]
    return clean(", ".join([*shown, *(["..."] if len(values) > _MOST_NAMED else [])]))


def text_of(value: Any) -> str:
    """The value of a setting; several values, such as one for each constraint, are separated by colons."""
    return ":".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def in_common(runs: Sequence[Records], x: str = "iteration") -> list[Records]:
    """The runs of a group without what only some of them have: the part that a curve and a table are over.

    Args:
      runs: [seed][iteration] lines of metrics.jsonl.
      x: "iteration": the iterations that all of them have; "env_steps": the iterations up to the end of the run with
        the fewest samples.

    Raises:
      ValueError: they have no part in common.
    """
    if x == "iteration":
        common = set.intersection(*({line["iteration"] for line in records} for records in runs))
        found: list[Records] = [[line for line in records if line["iteration"] in common] for records in runs]
    else:
        end = min(records[-1]["env_steps"] for records in runs)
        found = [[line for line in records if line["env_steps"] <= end] for records in runs]
    if not all(found):
        raise ValueError(f"x is {x!r}: the runs of a group have no part in common")
    return found


def align(runs: Sequence[Records], field: str, x: str = "iteration") -> tuple[np.ndarray, np.ndarray]:
    """Values of a field of several runs at common places: x [T], values [S, T, K].

    Args:
      runs: [seed][iteration] lines of metrics.jsonl.
      field: field of a line.
      x: "iteration", or "env_steps" with linear interpolation; both end where the shortest run ends.

    Raises:
      ValueError: they have no part in common.
    """
    if x == "iteration":
        common = in_common(runs)
        places = np.array([line["iteration"] for line in common[0]])
        return places, np.stack([series(records, field) for records in common])
    steps = [series(records, "env_steps")[:, 0] for records in runs]
    if max(s[0] for s in steps) > min(s[-1] for s in steps):
        raise ValueError(f"x is {x!r}: the runs of a group have no part in common")
    grid = np.linspace(max(s[0] for s in steps), min(s[-1] for s in steps), min(_MOST_POINTS, max(map(len, runs))))
    values = [
        np.stack([np.interp(grid, s, column) for column in series(records, field).T], axis=-1)
        for s, records in zip(steps, runs, strict=True)
    ]
    return grid, np.stack(values)


def lengths(groups: Mapping[str, Sequence[Records]], x: str) -> str:
    """What was left out of the groups because not all runs of a group have it, for people; empty if nothing was."""
    found = []
    for name, runs in groups.items():
        kept = in_common(runs, x)
        last = sorted({int(records[-1]["iteration"]) for records in runs})
        if len(last) > 1:
            ends = sorted({int(records[-1]["iteration"]) for records in kept})
            found.append(f"{name}: its runs end at iterations {_values(last)}, shown up to {_values(ends)}")
    return "; ".join(found)
