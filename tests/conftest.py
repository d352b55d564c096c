"""Strict settings for all tests: one CPU device, implicit rank promotion is an error, keys are fixed."""

import os

os.environ.setdefault("JAX_PLATFORMS", os.environ.get("ESPO_TEST_PLATFORM", "cpu"))
os.environ.setdefault("MPLBACKEND", "Agg")

import jax
import pytest


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture
def x64():
    """Double precision for the duration of a test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def strict_ranks():
    """Implicit rank promotion raises (Brax itself relies on it, so tests that step physics cannot use this)."""
    with jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture
def quick_compile():
    """XLA without its optimisations: half the time to compile, where little is run."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
