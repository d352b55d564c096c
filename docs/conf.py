"""Sphinx: the Markdown pages of this folder, the API from the docstrings, the command line from its own help."""

import os
import subprocess
import sys
from importlib.metadata import version as version_of
from pathlib import Path

from espo_jax.cli.commands import COMMANDS

project, author, release = "espo_jax", "the authors of espo_jax", version_of("espo_jax")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = "espo_jax"
exclude_patterns = ["_build", "results/reacher/*", "results/paper/*"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
nitpicky = False
# Links out of docs/ are to files of the repository, which the site does not hold.
suppress_warnings = ["myst.xref_missing", "ref.python"]


def write_command_line(_app) -> None:
    """cli.md, from what each command says of itself."""
    folder = Path(__file__).parent / "_generated"
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "JAX_PLATFORMS": "cpu"}
    parts = ["# Command line\n"]
    for command in COMMANDS:
        asked = [sys.executable, "-m", "espo_jax.cli", command, "--help"]
        text = subprocess.run(asked, capture_output=True, text=True, check=True, env=environment).stdout
        parts.append(f"## espo {command}\n\n```text\n{text.strip()}\n```\n")
    (folder / "cli.md").write_text("\n".join(parts), encoding="utf-8")


def escape_bars(_app, _what, _name, _object, _options, lines: list[str]) -> None:
    """|x| is a length and no substitution of reStructuredText."""
    lines[:] = [line.replace("|", r"\|") for line in lines]


def setup(app) -> None:
    """Before the pages are read."""
    app.connect("builder-inited", write_command_line)
    app.connect("autodoc-process-docstring", escape_bars, priority=0)
