"""The settings of a run as config.json holds them: enough to run it again, and to go on with it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from espo_jax.config import Config
from espo_jax.hyperparams import SETTINGS as HYPERPARAM_SETTINGS
from espo_jax.runs import files
from espo_jax.runs.files import DamagedError
from espo_jax.runs.options import RunOptions
from espo_jax.runs.run_directory import CONFIG, CONFIG_FORMAT
from espo_jax.settings import MOST_CONSTRAINTS, Setting, settings_of, shown

OPTION_SETTINGS, CONFIG_SETTINGS = settings_of(RunOptions), settings_of(Config)
# Names of the settings that may change when a run goes on.
CHANGEABLE = tuple(name for name, declared in {**HYPERPARAM_SETTINGS, **OPTION_SETTINGS}.items() if declared.changeable)
_ANNEALED = tuple(name for name in HYPERPARAM_SETTINGS if name.startswith("anneal_"))
# Values with which versions behaved that did not have a setting yet.
EARLIER = {
    name: declared.earlier
    for name, declared in {**OPTION_SETTINGS, **CONFIG_SETTINGS, **HYPERPARAM_SETTINGS}.items()
    if declared.earlier is not dataclasses.MISSING
}
# Entries of config.json beside the options of the run.
_ENTRIES = (
    "format",
    "config",
    "hyperparams",
    "resumed",
    "versions",
    "device",
    "machine",
    "command",
    "git_revision",
    "sweep",
)


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """The settings of a run. Its numbers depend on them, on the versions of the packages, and on the device only.

    Attributes:
      options: options of the run.
      config: fields of Config.
      hyperparams: keyword arguments of Hyperparams.create; num_iterations is also the number of iterations to run.
      unknown: settings, and a number of the format, that this version does not know; a later version wrote them.
    """

    options: RunOptions
    config: Mapping[str, Any]
    hyperparams: Mapping[str, Any]
    unknown: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(cls, run_dir: Path) -> "RunConfig":
        """Read the config.json of a run directory.

        A setting that the file lacks has the value with which earlier versions behaved. A setting that this version
        does not know is kept in `unknown`.

        Raises:
          DamagedError: the file is missing, or a field in it has the wrong type or a value that is not allowed.
        """
        path = run_dir / CONFIG
        return cls.parse(files.infinities(files.read_json(path)), path)

    @classmethod
    def parse(cls, content: Mapping[str, Any], path: Path) -> "RunConfig":
        """The settings of a run from the content of a config.json; see `read`.

        Args:
          content: the content, infinities as numbers.
          path: the file, for messages.

        Raises:
          DamagedError: a field has the wrong type or a value that is not allowed.
        """
        recorded = {name: declared for name, declared in OPTION_SETTINGS.items() if declared.recorded}
        unknown = {name: value for name, value in content.items() if name not in (*recorded, *_ENTRIES)}
        number = content.get("format", CONFIG_FORMAT)
        if not isinstance(number, int) or number > CONFIG_FORMAT:
            unknown["format"] = number
        sections = {"config": CONFIG_SETTINGS, "hyperparams": HYPERPARAM_SETTINGS}
        known: dict[str, dict[str, Any]] = {}
        for section, declared in sections.items():
            if not isinstance(content.get(section), dict):
                raise DamagedError(f"{path} has no {section} that is an object")
            known[section] = _completed(path, content[section], declared)
            unknown |= {name: value for name, value in content[section].items() if name not in declared}
        for name, value in known["hyperparams"].items():
            check_numbers(path, name, value, HYPERPARAM_SETTINGS[name])
        try:
            options = RunOptions(**_completed(path, content, recorded))
            config = dataclasses.asdict(Config(**known["config"]))
        except DamagedError:
            raise
        except (ValueError, TypeError, OverflowError) as error:
            raise DamagedError(f"{path} cannot be used: {error}") from None
        return cls(options, config, known["hyperparams"], unknown)

    def as_json(self) -> dict[str, Any]:
        """What config.json holds of the run: the recorded options, config and hyperparams."""
        recorded = {name: getattr(self.options, name) for name, s in OPTION_SETTINGS.items() if s.recorded}
        return {**recorded, "config": dict(self.config), "hyperparams": dict(self.hyperparams)}

    @property
    def title(self) -> str:
        """What the run is, for people."""
        return f"{self.options.algorithm} on {self.options.task}, seed {self.options.seed}"

    def settings(self) -> dict[str, Any]:
        """Flat fields of Config and Hyperparams."""
        return {**self.config, **self.hyperparams}

    def identity(self) -> dict[str, Any]:
        """Settings that two runs must share for one to go on where the other stopped."""
        named = {name: getattr(self.options, name) for name, s in OPTION_SETTINGS.items() if s.recorded}
        del named["preset"]  # its settings are among the others
        return {name: value for name, value in {**named, **self.settings()}.items() if name not in CHANGEABLE}

    def changed(self, changes: Mapping[str, Any]) -> "RunConfig":
        """The same run with other settings of when to stop, to save, to evaluate and where to log.

        Args:
          changes: flat settings; a setting that is not CHANGEABLE must have the value that the run has.

        Raises:
          ValueError: naming a field that would have to change and cannot, or that is out of its range.
        """
        now = {**dataclasses.asdict(self.options), **self.settings()}
        for name, value in changes.items():
            if name not in CHANGEABLE and not is_same(now.get(name), value):
                raise ValueError(
                    f"{name} is {files.strict(value)}: the run has {files.strict(now.get(name))}, and goes on with the "
                    f"settings it has; only {', '.join(CHANGEABLE)} may change"
                )
        options = {name: value for name, value in changes.items() if name in CHANGEABLE and name in OPTION_SETTINGS}
        before = self.hyperparams["num_iterations"]
        iterations = changes.get("num_iterations", before)
        annealed = [name for name in _ANNEALED if self.hyperparams[name]]
        if iterations != before and annealed:
            raise ValueError(
                f"num_iterations is {iterations}: the run anneals over {before} iterations ({annealed[0]}), and "
                "a new horizon would change the iterations that already ran"
            )
        return dataclasses.replace(
            self,
            options=dataclasses.replace(self.options, **options),
            hyperparams={**self.hyperparams, "num_iterations": iterations},
        )


def _completed(path: Path, section: Mapping[str, Any], declared: Mapping[str, Setting]) -> dict[str, Any]:
    """The declared settings of a section of config.json, with the values of earlier versions where it has none."""
    found = {name: section.get(name, EARLIER.get(name, dataclasses.MISSING)) for name in declared}
    for name, value in found.items():
        if value is dataclasses.MISSING:
            raise DamagedError(f"{path} has no {name}")
    return found


def check_numbers(path: Path, name: str, value: Any, declared: Setting) -> None:
    """Refuse a value of a hyperparameter in a file that is not a number, or one for each constraint."""
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(x, float) or (isinstance(x, int) and abs(x) < 2**63) for x in values):
        raise DamagedError(f"{path}: {name} is {shown(value)}, not a number or one per constraint")
    if isinstance(value, list) and not declared.per_constraint:
        raise DamagedError(f"{path}: {name} is {shown(value)}, not a number")
    if isinstance(value, list) and len(value) > MOST_CONSTRAINTS:
        raise DamagedError(f"{path}: {name} has {len(value)} values, more than {MOST_CONSTRAINTS}")


def is_same(kept: Any, given: Any) -> bool:
    """Whether two values of a setting are the same; a number is the same as a list that holds it alone."""

    def normal(value: Any) -> str:
        values = files.strict(value)
        values = values if isinstance(values, list) else [values]
        return str([float(x) if isinstance(x, int | float) and not isinstance(x, bool) else x for x in values])

    return normal(kept) == normal(given)
