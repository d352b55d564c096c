"""Strict settings for all tests: one CPU device, implicit rank promotion is an error, keys are fixed."""

import atexit
import contextlib
import os
import shutil
import tempfile

os.environ.setdefault("JAX_PLATFORMS", os.environ.get("ESPO_TEST_PLATFORM", "cpu"))
os.environ.setdefault("MPLBACKEND", "Agg")
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    # Nearly all the time of the tests is compilation: what two of them, or both workers, compile is compiled once.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="espo-jax-tests-")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)

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


@contextlib.contextmanager
def without_optimisations():
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture
def quick_compile():
    """XLA without its optimisations: half the time to compile, where little is run."""
    with without_optimisations():
        yield


@pytest.fixture(scope="module")
def quick_module():
    """The same for a whole module."""
    with without_optimisations():
        yield
