"""Strict settings for all tests: one CPU device, implicit rank promotion is an error, keys are fixed.

Nearly all the time of the tests is compilation, of programs that then run for milliseconds. So XLA compiles without
its optimisations and with the emitter of loops that compiles fastest: a step of an algorithm takes 1 second instead of
5. ESPO_TEST_OPTIMIZED=1 compiles as users do, which pays off where programs run for minutes (`make slow`).
"""

import os
import signal
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", os.environ.get("ESPO_TEST_PLATFORM", "cpu"))
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("JAX_ENABLE_COMPILATION_CACHE", "false")  # a test leaves nothing in the user's cache folder
if not os.environ.get("ESPO_TEST_OPTIMIZED") and os.environ["JAX_PLATFORMS"] == "cpu":
    os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    # XLA ends the process at a flag that it does not know: these are of the version that constraints.txt names.
    if version("jaxlib").startswith("0.10."):
        quick = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
        if quick not in os.environ.get("XLA_FLAGS", ""):  # workers inherit it
            os.environ["XLA_FLAGS"] = f"{quick} {os.environ.get('XLA_FLAGS', '')}".strip()

import jax
import pytest

MAPS = Path("/proc/self/maps")


@pytest.fixture(autouse=True, scope="module")
def few_memory_maps():
    """XLA crashes where a process reaches the kernel's limit of 65,530 memory maps; a compiled program has dozens."""
    yield
    if MAPS.exists() and MAPS.read_bytes().count(b"\n") > 30_000:
        jax.clear_caches()


@pytest.fixture(autouse=True, scope="session")
def interruptible():
    """A shell in the background and nohup start with signals ignored, which tests of signals would take over."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture
def nothing_allowed(monkeypatch):
    """No module of the user's own code is allowed, and what the test allows ends with it."""
    monkeypatch.setattr("espo_jax.own_code._allowed", set())


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
