"""A file of settings on the command line: `--config run.toml`, or the config.json of another run."""

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from espo_jax import own_code
from espo_jax.cli.common import BadInputError, Parser
from espo_jax.cli.flags import words
from espo_jax.runs import files
from espo_jax.runs.run_config import OPTION_SETTINGS, RunConfig
from espo_jax.settings import setting


@dataclasses.dataclass(frozen=True)
class SettingsFile:
    """The flag that names the file."""

    config: str | None = setting(
        None,
        "TOML file whose entries are flags, such as cost_limit = 25, or config.json of another run; flags that are "
        "given stand above it",
        none="none",
    )


def expand(argv: list[str], known: Mapping[str, Any]) -> list[str]:
    """The command line with the settings of its --config as flags in front.

    Args:
      argv: the command line.
      known: the flags of the command by the names of their settings; of a config.json the others are left out.

    Raises:
      BadInputError: the file cannot be read, has an unknown name, or names code that is not allowed.
    """
    parser = Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config")
    found, others = parser.parse_known_args(argv)
    if found.config is None:
        return argv
    path = Path(found.config)
    try:
        values = _of_run(path, known) if path.suffix == ".json" else _of_toml(path)
    except (OSError, ValueError) as error:
        raise BadInputError(f"config {path} cannot be read: {error}") from error
    found_words: list[str] = []
    for name, value in values.items():
        if name not in known:
            raise BadInputError(f"config {path} has {name}, which is no setting of this command")
        if own_code.is_own(value) and value.partition(":")[0] not in own_code.allowed():
            module = value.partition(":")[0]
            raise BadInputError(
                f"config {path} has {name} = {value!r}, code of the module {module}: give --allow-code {module}"
            )
        found_words += words(name, value)
    return [*found_words, *others]


def _of_toml(path: Path) -> dict[str, Any]:
    """The entries of a TOML file; tables in it only group them."""
    found: dict[str, Any] = {}

    def take(table: Mapping[str, Any]) -> None:
        for name, value in table.items():
            if isinstance(value, Mapping):
                take(value)
            else:
                found[name.replace("-", "_")] = value

    take(tomllib.loads(path.read_text(encoding="utf-8")))
    return found


def _of_run(path: Path, known: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run."""
    run = RunConfig.parse(files.infinities(files.read_json(path)), path)
    options = {name: getattr(run.options, name) for name, each in OPTION_SETTINGS.items() if each.recorded}
    every = {**options, **run.settings()}
    return {name: value for name, value in every.items() if value is not None and name in known}
