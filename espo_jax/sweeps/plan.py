"""The plan of a sweep: its lanes, each known by the hash of its settings, and the programs that run them."""

import collections
import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from espo_jax.algorithms.iteration import Algorithm
from espo_jax.config import Config
from espo_jax.hyperparams import SETTINGS as HYPERPARAM_SETTINGS
from espo_jax.hyperparams import Hyperparams
from espo_jax.presets import NO_PRESET, preset, resolve
from espo_jax.runs import files, warm_start
from espo_jax.runs.options import RunOptions
from espo_jax.runs.run_config import RunConfig
from espo_jax.settings import settings_of
from espo_jax.sweeps.axes import Axis, combinations

# (task, backend, reward, env) -> one instance of the environment, see `named_env`
MakeEnv = Callable[[str, str | None, str | None, tuple[str, ...]], Any]
_OPTIONS = tuple(settings_of(RunOptions))
_CAPACITY = "max_zeta_positive"  # which only makes room, so that it does not make another run


@dataclasses.dataclass(frozen=True)
class Lane:
    """One run of a sweep.

    Attributes:
      config: its settings, as those of a single run.
      varied: the values of the axes, by name.
      has_capacity: whether max_zeta_positive was given; if not, it is what the lanes of a program need.
      written_id: name of the lane in the manifest that it was read from; empty for a lane that is asked for.
    """

    config: RunConfig
    varied: Mapping[str, Any]
    has_capacity: bool = False
    written_id: str = ""

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """What the numbers of the lane depend on, in strict JSON: equal settings are equal however they are written."""
        identity = self.config.identity()
        if not self.has_capacity:
            del identity[_CAPACITY]
        return files.strict({name: _canonical(name, value) for name, value in identity.items()})

    @property
    def id(self) -> str:
        """Name of the lane: the hash of its identity when it was first asked for, perhaps by an earlier version."""
        return self.written_id or self.hash

    @functools.cached_property
    def hash(self) -> str:
        """Hash of its identity, by which two lanes are the same."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def title(self) -> str:
        """The lane for people: its varied settings and its seed."""
        values = [f"{name} {_shown(value)}" for name, value in self.varied.items()]
        return ", ".join([*values, f"seed {self.config.options.seed}"])

    @functools.cached_property
    def program(self) -> str:
        """What lanes of one compiled program have in common, as a key."""
        static = {name: value for name, value in self.config.config.items() if name != _CAPACITY or self.has_capacity}
        options = {**vars(self.config.options), "seed": 0}
        constraints = np.size(self.config.hyperparams["cost_limit"])
        return json.dumps(files.strict({"options": options, "config": static, "K": constraints}), sort_keys=True)


def lanes_of(
    make_env: MakeEnv,
    options: RunOptions,
    settings: Mapping[str, Any],
    axes: Sequence[Axis],
    seeds: Sequence[int],
) -> list[Lane]:
    """Every combination of the axes' points with every seed.

    Args:
      make_env: (task, backend, reward, env) -> one instance of the environment, see `named_env`; called once for each
        combination.
      options: options that hold for all lanes.
      settings: flat fields of Config and Hyperparams that hold for all lanes; the rest is the preset's.
      axes: what varies, other settings than these.
      seeds: seeds of every point.

    Raises:
      ValueError: a setting is not usable; the message names the lane.
    """
    if not seeds:
        raise ValueError("seeds is empty: a sweep needs at least one seed")
    given = {name for name, value in settings.items() if value is not None}
    if both := [name for axis in axes for name in axis.names if name in given]:
        raise ValueError(f"{both[0]} is given for all lanes, and is an axis: give only one of both")
    envs: dict[tuple, Any] = {}
    lanes = []
    for point in combinations(axes):
        chosen = {name: value for name, value in point.items() if name in _OPTIONS}
        flat = {**settings, **{name: value for name, value in point.items() if name not in _OPTIONS}}
        try:
            of_point = dataclasses.replace(options, **chosen)
            key = of_point.environment
            if key not in envs:
                envs[key] = make_env(*key)
            env = envs[key]
            flat = {**preset(of_point.preset or NO_PRESET, of_point.task, of_point.algorithm), **flat}
            config, values = resolve(flat, env)
            of_point = dataclasses.replace(of_point, backend=getattr(env, "backend", None))
            for seed in seeds:
                run_config = RunConfig(
                    dataclasses.replace(of_point, seed=seed), dataclasses.asdict(config), dict(values)
                )
                lanes.append(Lane(run_config, point, flat.get(_CAPACITY) is not None))
        except (ValueError, TypeError) as error:
            raise ValueError(_named(point, error)) from None
    return list({lane.hash: lane for lane in lanes}.values())


@dataclasses.dataclass(frozen=True)
class Program:
    """The lanes of one compiled program.

    Attributes:
      lanes: the lanes.
      config: fields of Config: those of the lanes, with room for the largest zeta_positive among them.
    """

    lanes: tuple[Lane, ...]
    config: Mapping[str, Any]

    @property
    def options(self) -> RunOptions:
        """Options that its lanes have in common; the seed is that of the first one."""
        return self.lanes[0].config.options

    @property
    def title(self) -> str:
        """The program for people."""
        return f"{self.options.algorithm} on {self.options.task} ({self.options.backend})"

    def hyperparams(self, lanes: Sequence[Lane]) -> Hyperparams:
        """Hyperparameters of some lanes, stacked: NumPy arrays [L, ...]."""
        return Hyperparams.stack([lane.config.hyperparams for lane in lanes])

    def make(self, env: Any) -> Algorithm:
        """The algorithm, checked with the hyperparameters of every lane.

        Raises:
          ValueError: a setting or the environment is not usable; the message names the lane.
        """
        algorithm = warm_start.make(self.options, env, Config(**self.config))
        try:
            algorithm.check(self.hyperparams(self.lanes))
        except ValueError:  # one check for all is fast, but does not say which lane it is
            for lane in self.lanes:
                try:
                    algorithm.check(self.hyperparams([lane]))
                except ValueError as error:
                    raise ValueError(_named(lane.varied, error)) from None
            raise
        return algorithm


def programs_of(lanes: Sequence[Lane]) -> list[Program]:
    """Lanes by the program that runs them, in the order of the first lane of each."""
    groups: dict[str, list[Lane]] = collections.defaultdict(list)
    for lane in lanes:
        groups[lane.program].append(lane)
    return [
        Program(tuple(group), {**group[0].config.config, _CAPACITY: max(x.config.config[_CAPACITY] for x in group)})
        for group in groups.values()
    ]


def keys_of(lanes: Sequence[Lane]) -> jax.Array:
    """The key of the first state of each lane, as of `espo train` with its seed: [L]."""
    return jax.vmap(lambda seed: jax.random.split(jax.random.key(seed))[0])(seeds_of(lanes))


def seeds_of(lanes: Sequence[Lane]) -> np.ndarray:
    """Seeds: [L]."""
    return np.array([lane.config.options.seed for lane in lanes], np.int32)


def _canonical(name: str, value: Any) -> Any:
    """A setting in one form, so that 25, 25.0 and [25] are one lane."""
    if name not in HYPERPARAM_SETTINGS:
        return value
    if isinstance(value, list | tuple | np.ndarray):
        numbers = tuple(map(float, np.ravel(value)))
        return numbers[0] if len(numbers) == 1 else numbers
    if value is None or isinstance(value, bool | np.bool_):
        return value
    is_whole = isinstance(HYPERPARAM_SETTINGS[name].default, int) and float(value).is_integer()
    return int(value) if is_whole else float(value)


def _named(varied: Mapping[str, Any], error: Exception) -> str:
    lane = ", ".join(f"{name}={_shown(value)}" for name, value in varied.items())
    return f"lane {lane}: {error}" if lane else str(error)


def _shown(value: Any) -> str:
    if isinstance(value, tuple | list):
        return ":".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
