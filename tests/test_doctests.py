"""Examples in docstrings say what the code gives."""

import doctest
import importlib

import pytest

MODULES = (
    "espo_jax.conflict", "espo_jax.gae", "espo_jax.modes", "espo_jax.multiplier", "espo_jax.sample_size",
    "espo_jax.training.statistics",
)  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    failed, tried = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert tried >= 2
    assert failed == 0
