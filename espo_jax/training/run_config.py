"""What config.json says of a run: enough to run it again, and to go on with it."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from espo_jax.config import Config
from espo_jax.hyperparams import HYPERPARAM_DEFAULTS, PER_CONSTRAINT
from espo_jax.training import files
from espo_jax.training.earlier import EARLIER_CONFIG
from espo_jax.training.files import DamagedError
from espo_jax.training.run_directory import CONFIG

# What may change when a run goes on.
CHANGEABLE = (
    "num_iterations",
    "num_timesteps",
    "num_eval_episodes",
    "eval_interval",
    "checkpoint_iterations",
    "checkpoint_minutes",
)
_ANNEALED = tuple(name for name in HYPERPARAM_DEFAULTS if name.startswith("anneal_"))


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """The settings of a run, all that its numbers depend on beside versions and device.

    Args:
      task, algorithm, backend, reward, preset: names.
      seed: of all randomness.
      num_timesteps: stop earlier, when this many samples are taken.
      num_eval_episodes: episodes of an evaluation.
      eval_interval: iterations between evaluations while training.
      checkpoint_iterations, checkpoint_minutes: when a checkpoint is due.
      config: fields of Config.
      hyperparams: keyword arguments of Hyperparams.create; num_iterations is also how many to run.
    """

    task: str
    algorithm: str
    backend: str | None
    reward: str | None
    preset: str | None
    seed: int
    num_timesteps: int | None
    num_eval_episodes: int
    eval_interval: int
    checkpoint_iterations: int
    checkpoint_minutes: float
    config: dict[str, Any]
    hyperparams: dict[str, Any]

    @classmethod
    def read(cls, run_dir: Path) -> "RunConfig":
        """From a run directory's config.json.

        Raises:
          DamagedError: it is missing, or a field of it is or has the wrong type.
        """
        path = run_dir / CONFIG
        content = files.infinities(files.read_json(path))
        values: dict[str, Any] = {}
        for name, kind in typing.get_type_hints(cls).items():
            if name not in content:
                raise DamagedError(f"{path} has no {name}")
            values[name] = content[name]
            if not _is(values[name], kind):
                raise DamagedError(f"{path}: {name} is {repr(values[name])[:80]}, not {_describe(kind)}")
        values["config"] = {**EARLIER_CONFIG, **values["config"]}
        config, hyperparams = values["config"], values["hyperparams"]
        for section, fields in (
            (config, {field.name for field in dataclasses.fields(Config)}),
            (hyperparams, {*HYPERPARAM_DEFAULTS, "cost_limit"}),
        ):
            if difference := sorted(fields ^ set(section)):
                name = difference[0]
                raise DamagedError(f"{path}: {name} is {'missing' if name in fields else 'not known here'}")
        for name, value in hyperparams.items():
            if not all(isinstance(x, int | float) for x in (value if isinstance(value, list) else [value])):
                raise DamagedError(f"{path}: {name} is {repr(value)[:80]}, not a number or one per constraint")
            if isinstance(value, list) and name not in PER_CONSTRAINT:
                raise DamagedError(f"{path}: {name} is {repr(value)[:80]}, not a number")
        try:
            Config(**config)
        except (ValueError, TypeError, OverflowError) as error:
            raise DamagedError(f"{path} cannot be used: {error}") from None
        return cls(**values)

    def settings(self) -> dict[str, Any]:
        """Flat fields of Config and Hyperparams."""
        return {**self.config, **self.hyperparams}

    def identity(self) -> dict[str, Any]:
        """What two runs must share for one to go on where the other stopped."""
        named = {name: getattr(self, name) for name in ("task", "algorithm", "backend", "reward", "seed")}
        return {name: value for name, value in {**named, **self.settings()}.items() if name not in CHANGEABLE}

    def changed(self, changes: Mapping[str, Any]) -> "RunConfig":
        """The same run with other settings of when to stop, to save and to evaluate.

        Args:
          changes: flat; whatever is not CHANGEABLE must be what it is.

        Raises:
          ValueError: naming a field that would have to change and cannot.
        """
        now = {**dataclasses.asdict(self), **self.settings()}
        for name, value in changes.items():
            kept = files.strict(now.get(name))
            given = files.strict(value)
            as_lists = ([x] if not isinstance(x, list) else x for x in (kept, given))
            if name not in CHANGEABLE and len({str(x) for x in map(_floats, as_lists)}) > 1:
                raise ValueError(
                    f"{name} is {given}: the run has {kept}, and goes on with the settings it has; only "
                    f"{', '.join(CHANGEABLE)} may change"
                )
        top = {name: value for name, value in changes.items() if name in CHANGEABLE and name != "num_iterations"}
        iterations = changes.get("num_iterations", self.hyperparams["num_iterations"])
        annealed = [name for name in _ANNEALED if self.hyperparams[name]]
        if iterations != self.hyperparams["num_iterations"] and annealed:
            raise ValueError(
                f"num_iterations is {iterations}: the run anneals over {self.hyperparams['num_iterations']} "
                f"iterations ({annealed[0]}), which then would not be what ran"
            )
        return dataclasses.replace(self, **top, hyperparams={**self.hyperparams, "num_iterations": iterations})


def _floats(values: list[Any]) -> list[Any]:
    return [float(x) if isinstance(x, int | float) and not isinstance(x, bool) else x for x in values]


def _is(value: Any, kind: Any) -> bool:
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    plain = tuple(typing.get_origin(k) or k for k in kinds)
    if isinstance(value, bool):
        return bool in plain
    return isinstance(value, plain) or (float in plain and isinstance(value, int))


def _describe(kind: Any) -> str:
    names = {str: "text", int: "an integer", float: "a number", dict: "an object", type(None): "null"}
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    return " or ".join(names[typing.get_origin(k) or k] for k in kinds)
