"""The manifest of a sweep: which lanes there are and who runs them, written before anything runs."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from espo_jax.config import Config
from espo_jax.hyperparams import SETTINGS as HYPERPARAM_SETTINGS
from espo_jax.runs import files
from espo_jax.runs.files import DamagedError
from espo_jax.runs.options import RunOptions
from espo_jax.runs.run_config import RunConfig, check_numbers
from espo_jax.settings import settings_of, shown
from espo_jax.sweeps.plan import Lane, Program, programs_of

FORMAT = 1
MOST_BYTES = 2**30  # a lane takes some 300 bytes, and there are at most a million points


@dataclasses.dataclass(frozen=True)
class Group:
    """Lanes that one process runs together, with checkpoints of their own.

    Attributes:
      name: name of the group, and of its folder.
      program: its lanes as a program.
    """

    name: str
    program: Program

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """Its lanes."""
        return self.program.lanes


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The lanes of a sweep.

    Attributes:
      groups: the groups, each with its lanes.
    """

    groups: tuple[Group, ...]

    @functools.cached_property
    def lanes(self) -> list[Lane]:
        """All lanes."""
        return [lane for group in self.groups for lane in group.lanes]

    @functools.cached_property
    def num_constraints(self) -> int:
        """The largest number of constraints of a lane."""
        return max(np.size(lane.config.hyperparams["cost_limit"]) for lane in self.lanes)

    def widened(self, lanes: Sequence[Lane], lanes_per_group: int) -> "Manifest":
        """With lanes that are new, in groups of their own.

        Lanes that there are take the budget and the options with which they are asked for. Those that are not asked for
        take these of the first lane that is.

        Args:
          lanes: lanes that are asked for.
          lanes_per_group: the largest number of lanes of a new group.

        Raises:
          ValueError: none of the lanes is in the manifest, or a budget cannot change.
        """
        if lanes_per_group < 1:
            raise ValueError(f"lanes_per_group is {lanes_per_group}: it must be at least 1")
        asked = {lane.hash: lane for lane in lanes}
        known = {lane.hash for lane in self.lanes}
        if self.groups and not known & set(asked):
            raise ValueError(self._foreign(lanes[0]))
        if unknown := next((lane.config.unknown for lane in self.lanes if lane.config.unknown), None):
            raise ValueError(f"it has settings of a later version ({', '.join(unknown)}): go on with that version")
        groups = [_replaced(group, asked, lanes[0]) for group in self.groups]
        new = [lane for hash_, lane in asked.items() if hash_ not in known]
        for program in programs_of(new):
            for begin in range(0, len(program.lanes), lanes_per_group):
                part = dataclasses.replace(program, lanes=program.lanes[begin : begin + lanes_per_group])
                groups.append(Group(f"group-{len(groups):04}", part))
        wider = Manifest(tuple(groups))
        if self.groups and wider.num_constraints != self.num_constraints:
            raise ValueError(
                f"its lanes have up to {self.num_constraints} constraints, and {wider.num_constraints} are asked for: "
                "the columns of its metrics would change; give another folder"
            )
        return wider

    def as_json(self) -> dict[str, Any]:
        """What manifest.json holds. A lane has only the settings in which it differs from the first of its group."""
        groups = []
        for group in self.groups:
            program, first = group.program, group.lanes[0]
            lanes = [
                {
                    "id": lane.id,
                    "seed": lane.config.options.seed,
                    "varied": dict(lane.varied),
                    "config": _difference(lane.config.config, program.config),
                    "hyperparams": _difference(lane.config.hyperparams, first.config.hyperparams),
                }
                for lane in group.lanes
            ]
            common = {**first.config.as_json(), "config": dict(program.config)}
            groups.append({"name": group.name, "has_capacity": first.has_capacity, "lanes": lanes, "common": common})
        return {"format": FORMAT, "groups": groups}

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """Read a manifest.json.

        Raises:
          DamagedError: it is missing, damaged, or of a later version.
        """
        content = files.infinities(files.parse_json(files.read(path, MOST_BYTES), str(path)))
        if content.get("format") != FORMAT:
            raise DamagedError(f"{path} has format {shown(content.get('format'))}: this version reads {FORMAT}")
        groups = content.get("groups")
        if not isinstance(groups, list) or not groups:
            raise DamagedError(f"{path} is damaged: it has no groups")
        try:
            return cls(tuple(_read_group(path, group) for group in groups))
        except DamagedError:
            raise
        except (KeyError, TypeError, AttributeError) as error:
            raise DamagedError(f"{path} is damaged: {type(error).__name__} {error}") from None
        except ValueError as error:
            raise DamagedError(f"{path} is damaged: {error}") from None

    def _foreign(self, asked: Lane) -> str:
        """The message for lanes that are asked for and are not of this sweep: the first setting that differs.

        Args:
          asked: one of the lanes that are asked for.
        """
        for name, value in asked.identity.items():
            there = {str(lane.identity.get(name)): lane.identity.get(name) for lane in self.lanes}
            if name != "seed" and str(value) not in there:
                some = ", ".join(shown(other) for other in list(there.values())[:3])
                return f"it has another sweep: its {name} is {some}, and {shown(value)} is asked for"
        return "none of its lanes is asked for: a command that widens a sweep asks for at least one of them too"


def _replaced(group: Group, asked: Mapping[str, Lane], first: Lane) -> Group:
    """A group whose lanes have the budget and the options that may change of those that are asked for.

    Args:
      group: the group.
      asked: lanes that are asked for, by their hashes.
      first: the one whose budget and options the other lanes take.
    """
    lanes = []
    for lane in group.lanes:
        changes = _changeable(asked.get(lane.hash, first).config)
        lanes.append(dataclasses.replace(lane, config=lane.config.changed(changes)))
    return dataclasses.replace(group, program=dataclasses.replace(group.program, lanes=tuple(lanes)))


def _changeable(config: RunConfig) -> dict[str, Any]:
    """The settings of a run that may be others when it goes on."""
    options = {
        name: getattr(config.options, name)
        for name, declared in settings_of(RunOptions).items()
        if declared.changeable and declared.recorded
    }
    return {**options, "num_iterations": config.hyperparams["num_iterations"]}


def _difference(values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    strict = {name: files.strict(value) for name, value in values.items()}
    return {name: value for name, value in strict.items() if value != files.strict(others[name])}


def _read_group(path: Path, content: Mapping[str, Any]) -> Group:
    name = content["name"]
    if not isinstance(name, str) or not name.replace("-", "").isalnum():
        raise DamagedError(f"{path} is damaged: a group has the name {shown(name)}")
    common = RunConfig.parse(content["common"], path)
    lanes = []
    for lane in content["lanes"]:
        options = dataclasses.replace(common.options, seed=lane["seed"])
        config = dataclasses.asdict(Config(**{**common.config, **lane["config"]}))
        for key, value in lane["hyperparams"].items():
            check_numbers(path, key, value, HYPERPARAM_SETTINGS[key])
        hyperparams = {**common.hyperparams, **lane["hyperparams"]}
        varied = {key: tuple(value) if isinstance(value, list) else value for key, value in lane["varied"].items()}
        run_config = RunConfig(options, config, hyperparams, common.unknown)
        if not isinstance(lane["id"], str) or not lane["id"].isalnum():
            raise DamagedError(f"{path} is damaged: a lane has the name {shown(lane['id'])}")
        lanes.append(Lane(run_config, varied, bool(content["has_capacity"]), lane["id"]))
    if not lanes:
        raise DamagedError(f"{path} is damaged: {name} has no lanes")
    return Group(name, Program(tuple(lanes), common.config))
