"""Writes docs/settings.md and espo_jax/train_settings.py, which tells editors the arguments of `train`, from the
declarations in the code; tests/project/test_docs.py checks that both are up to date.

python docs/write_settings.py
"""

import typing
from pathlib import Path

import jax

from espo_jax import settings
from espo_jax.config import Config
from espo_jax.hyperparams import Hyperparams
from espo_jax.results.bench import BenchOptions
from espo_jax.results.compare import NOT_OF_A_COMPARISON, CompareOptions
from espo_jax.results.tune_options import TuneOptions
from espo_jax.runs.options import RunOptions
from espo_jax.sweeps.options import SweepOptions
from espo_jax.train_settings import ARGUMENTS

PAGE = Path(__file__).parent / "settings.md"
SECTIONS = (
    ("Options of a run", RunOptions, "Options of `espo train`. They are no part of the algorithm."),
    (
        "Options of a sweep",
        SweepOptions,
        "Options of `espo sweep`, which has those of a run and all settings below too.",
    ),
    ("Options of a comparison", CompareOptions, "Options of `espo compare`."),
    (
        "Options of a tuning",
        TuneOptions,
        "Options of `espo tune`, which has those of a run and all settings below too.",
    ),
    ("Options of a benchmark", BenchOptions, "Options of `espo bench`."),
    (
        "Hyperparams",
        Hyperparams,
        "Traced settings: a change never recompiles. A setting with a value for each constraint takes one number, "
        "which\nholds for all, or several.",
    ),
    ("Config", Config, "Static settings: the shapes of the compiled program depend on them."),
)
_NO_FLAGS = {CompareOptions: NOT_OF_A_COMPARISON}
MODULE = Path(__file__).parents[1] / "espo_jax" / "train_settings.py"
MODULE_HEAD = '''"""The settings that `train` takes as keyword arguments; docs/write_settings.py writes this module."""

from collections.abc import Sequence
from typing import TypedDict

# Arguments that `train` has beside them, or decides by itself.
ARGUMENTS = (
    "task", "preset", "algorithm", "seed", "devices", "num_timesteps", "num_iterations", "sample_size_rule", "run_dir",
)  # fmt: skip


class TrainSettings(TypedDict, total=False):
    """Fields of Hyperparams, Config and RunOptions, which say what each is; one that is not given has its default."""
'''
HEAD = """# Settings

This page is written by `docs/write_settings.py` from the declarations in the code. On the command line a setting is a
flag with hyphens, such as `--cost-limit`; in Python it is a keyword argument. The defaults are those of the library;
`espo train` starts from the `paper` preset of the task (`espo train --task TASK --help` shows it).
"""


def page() -> str:
    """The page as text."""
    sections = [
        f"## {title}\n\n{words}\n\n{settings.table(cls, _NO_FLAGS.get(cls, ()))}" for title, cls, words in SECTIONS
    ]
    return "\n".join([HEAD, *sections])


def train_settings() -> str:
    """The module of the type of the keyword arguments of `train`."""
    fields = {}
    for cls in (Hyperparams, Config, RunOptions):
        kinds = typing.get_type_hints(cls)
        fields |= {name: _kind(each, kinds[name]) for name, each in settings.settings_of(cls).items()}
    lines = [f"    {name}: {kind}" for name, kind in fields.items() if name not in ARGUMENTS]
    return "\n".join([MODULE_HEAD, *lines, ""])


def _kind(declared: settings.Setting, kind: typing.Any) -> str:
    """The type of a setting as it is written in code."""
    if declared.per_constraint:
        return "float | Sequence[float] | None"
    if kind is jax.Array:
        kind = type(declared.default)
    return kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    MODULE.write_text(train_settings(), encoding="utf-8")
