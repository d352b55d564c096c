"""Writes docs/settings.md from the declarations in the code; tests/project/test_docs.py checks that it is up to date.

python docs/write_settings.py
"""

from pathlib import Path

from espo_jax import settings
from espo_jax.config import Config
from espo_jax.hyperparams import Hyperparams
from espo_jax.results.bench import BenchOptions
from espo_jax.results.compare import NOT_OF_A_COMPARISON, CompareOptions
from espo_jax.runs.options import RunOptions
from espo_jax.sweeps.options import SweepOptions

PAGE = Path(__file__).parent / "settings.md"
SECTIONS = (
    ("Options of a run", RunOptions, "Options of `espo train`. They are no part of the algorithm."),
    (
        "Options of a sweep",
        SweepOptions,
        "Options of `espo sweep`, which has those of a run and all settings below too.",
    ),
    ("Options of a comparison", CompareOptions, "Options of `espo compare`."),
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


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
