"""A file of settings on the command line: `--config run.toml`, or the config.json of another run."""

import dataclasses
import math
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from espo_jax.cli.common import BadInputError, Parser
from espo_jax.cli.flags import words
from espo_jax.environments import written_options
from espo_jax.runs import files
from espo_jax.runs.run_config import CONFIG_SETTINGS, OPTION_SETTINGS, RunConfig
from espo_jax.settings import setting, shown

_ALIASES = {
    each.alias.removeprefix("--").replace("-", "_"): name for name, each in CONFIG_SETTINGS.items() if each.alias
}


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
      BadInputError: the file cannot be read, or has an unknown name or a value that makes no flag.
    """
    parser = Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config")
    found, others = parser.parse_known_args(argv)
    typed = {word.partition("=")[0].removeprefix("--").replace("-", "_") for word in others if word.startswith("--")}
    typed |= {name.removeprefix("no_") for name in typed}
    if found.config is None:
        return argv
    path = Path(found.config)
    try:
        values = _of_run(path, known) if path.suffix == ".json" else _of_toml(path)
    except (OSError, ValueError) as error:
        raise BadInputError(f"config {path} cannot be read: {error}") from error
    found_words: list[str] = []
    for name, value in values.items():
        if name not in known or name == "config":
            raise BadInputError(f"config {path} has {name}, which is no setting of this command")
        if name not in typed:
            _check(path, name, value, known[name])
            found_words += words(name, value)
    return [*found_words, *others]


def _check(path: Path, name: str, value: Any, kind: Any) -> None:
    """Refuse a value that makes no flag.

    Raises:
      BadInputError: naming the file, the entry and the value.
    """
    is_switch, what = typing.get_args(kind)[0] is bool, f"config {path} has {name} = {shown(value)}"
    if is_switch or isinstance(value, bool):
        if not (is_switch and isinstance(value, bool)):
            raise BadInputError(f"{what}: it must {'' if is_switch else 'not '}be true or false")
        return
    parts = value if isinstance(value, list | tuple) else [value]
    if not parts or not all(map(_is_word, parts)):
        raise BadInputError(f"{what}: it must be a number, a text or a list of them")


def _is_word(part: Any) -> bool:
    """Whether a part of a value can be a word of the command line that is no flag."""
    if isinstance(part, str):
        return not part.startswith("--")
    return isinstance(part, int | float) and not isinstance(part, bool) and not math.isnan(part)


def _of_toml(path: Path) -> dict[str, Any]:
    """The entries of a TOML file; tables in it only group them, but for one of the options of the task, env."""
    found: dict[str, Any] = {}

    def take(table: Mapping[str, Any]) -> None:
        for name, value in table.items():
            name = _ALIASES.get(name.replace("-", "_"), name.replace("-", "_"))
            if name == "env" and isinstance(value, Mapping):
                value = list(written_options(value))
            if isinstance(value, Mapping):
                take(value)
            elif name in found:
                raise ValueError(f"it has {name} twice")
            else:
                found[name] = value

    take(tomllib.loads(path.read_text(encoding="utf-8")))
    return found


def _of_run(path: Path, known: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run."""
    run = RunConfig.parse(files.infinities(files.read_json(path)), path)
    options = {name: getattr(run.options, name) for name, each in OPTION_SETTINGS.items() if each.recorded}
    every = {**options, **run.settings()}
    return {name: value for name, value in every.items() if value not in (None, ()) and name in known}
