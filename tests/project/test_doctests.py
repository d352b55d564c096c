"""Examples in docstrings say what the code gives."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

MODULES = (
    "espo_jax.conflict", "espo_jax.gae", "espo_jax.modes", "espo_jax.multiplier", "espo_jax.sample_size",
    "espo_jax.results.statistics",
)  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    failed, tried = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert tried >= 2
    assert failed == 0


def test_no_example_is_left_out():
    files = [path for folder in ("espo_jax", "envs/safety_envs") for path in (ROOT / folder).rglob("*.py")]
    with_examples = {path.relative_to(ROOT) for path in files if ">>> " in path.read_text()}
    assert with_examples == {Path(*name.split(".")).with_suffix(".py") for name in MODULES}
