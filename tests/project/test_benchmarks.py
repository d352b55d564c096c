"""What the benchmarks count from compiled programs, and that a TPU's compiler takes every algorithm."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from espo_jax import algorithms

BENCHMARKS = Path(__file__).parents[2] / "experiments" / "benchmarks"


@pytest.fixture(scope="module")
def launches():
    before = dict(os.environ)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("launches")
    os.environ.clear()
    os.environ.update(before)


def count(launches, fn, trips):
    counts = launches.kernels(jax.jit(fn).lower(jnp.ones((3, 3))).compile().as_text(), trips)
    return counts.pop("looks", 0), counts


def matrix_power(x, times):
    return jax.lax.fori_loop(0, times, lambda _, y: y @ x, x)


def test_kernels_of_a_loop_count_as_often_as_it_turns(launches):
    looks, once = count(launches, lambda x: matrix_power(x, 1000), {})
    assert looks == 0
    _, twice = count(launches, lambda x: matrix_power(x, 2000), {})
    assert 2000 <= twice["rest"] < 2.01 * once["rest"]


def test_a_loop_on_data_turns_as_often_as_its_scope_says(launches):
    def until_large(x):
        with jax.named_scope("roll_out"), jax.named_scope("trials"):
            return jax.lax.while_loop(lambda y: jnp.sum(y) < 1e9, lambda y: jnp.sin(y @ x), x)

    looks, counts = count(launches, until_large, {"trials": 50})
    _, twice = count(launches, until_large, {"trials": 100})
    assert looks == 50
    assert counts["roll_out"] >= 100
    assert twice["roll_out"] == 2 * counts["roll_out"]
    with pytest.raises(SystemExit, match=r"no trip count for the loop .*trials"):
        count(launches, until_large, {})


def test_a_condition_that_compares_with_a_constant_tells_the_trip_count(launches):
    condition = [
        "  %constant.9 = s32[]{:T(128)} constant(4)",
        "  ROOT %lt.7 = pred[]{:T(512)} compare(%get-tuple-element.1, %constant.9), direction=LT, metadata={}",
    ]
    assert launches._known_trip_count("while(...)", condition) == 4
    assert launches._known_trip_count("while(...)", [condition[1].replace("constant.9", "get-tuple-element.2")]) is None
    assert launches._known_trip_count('known_trip_count":{"n":"12"}', []) == 12


@pytest.mark.slow
@pytest.mark.parametrize("name", algorithms.RULES)
def test_a_tpu_s_compiler_takes_every_algorithm_without_collectives(name, tmp_path):
    """Eight lanes on the eight chips of a TPU v5e that is not there."""
    if importlib.util.find_spec("libtpu") is None:
        pytest.skip("libtpu is not installed (extra tpu)")
    output = tmp_path / "tpu.json"
    command = [sys.executable, BENCHMARKS / "tpu.py", "--algorithms", name, "--json", output]
    subprocess.run(command, check=True, timeout=1800)
    (figures,) = json.loads(output.read_text())
    assert figures["collectives"] == []
    assert 1e6 < figures["bytes"] < 1e9
    assert figures["code_bytes"] < 200e6
