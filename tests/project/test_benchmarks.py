"""What the benchmarks count from compiled programs, and that a TPU's compiler takes every algorithm."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from espo_jax import algorithms
from espo_jax.results import bench, bench_table

BENCHMARKS = Path(__file__).parents[2] / "experiments" / "benchmarks"


@pytest.fixture(scope="module")
def benchmark():
    """Imports a benchmark by name."""
    jax.devices()  # what a benchmark sets for XLA does not reach other tests
    before = dict(os.environ)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def launches(benchmark):
    return benchmark("launches")


@pytest.fixture(scope="module")
def gpu(benchmark):
    return benchmark("gpu")


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


def test_scopes_of_vmapped_lanes_are_those_of_one(launches):
    def lane(x):
        with jax.named_scope("roll_out"), jax.named_scope("trials"):
            return jax.lax.while_loop(lambda y: jnp.sum(y) < 1e9, lambda y: jnp.sin(y @ x), x)

    looks, counts = count(launches, lambda x: jax.vmap(lane)(jnp.stack([x, x])), {"trials": 50})
    assert looks == 50
    assert counts["roll_out"] >= 100


def test_a_condition_that_compares_with_a_constant_tells_the_trip_count(launches):
    condition = [
        "  %constant.9 = s32[]{:T(128)} constant(4)",
        "  ROOT %lt.7 = pred[]{:T(512)} compare(%get-tuple-element.1, %constant.9), direction=LT, metadata={}",
    ]
    assert launches._known_trip_count("while(...)", condition) == 4
    assert launches._known_trip_count("while(...)", [condition[1].replace("constant.9", "get-tuple-element.2")]) is None
    assert launches._known_trip_count('known_trip_count":{"n":"12"}', []) == 12


def attempt(gpu, result, program, seconds=60.0, by_output=True):
    command = [sys.executable, "-c", program]
    return gpu.run(command, result, by_output=by_output, end=time.monotonic() + seconds, environment=dict(os.environ))


def test_a_part_that_is_complete_is_not_run_again(gpu, tmp_path):
    result = tmp_path / "sizes of a task.md"
    assert attempt(gpu, result, "import sys; print('a'); print('warning', file=sys.stderr)") == "done"
    assert attempt(gpu, result, "print('b')") == "done"
    assert result.read_text() == "a\n"
    assert result.with_suffix(".log").read_text() == "warning\n"
    written = tmp_path / "bench.json"
    assert attempt(gpu, written, f"open({str(written) + '.part'!r}, 'w').write('c')", by_output=False) == "done"
    assert written.read_text() == "c"


def test_a_part_that_fails_or_is_late_leaves_no_result(gpu, tmp_path):
    result, started = tmp_path / "a.md", tmp_path / "started"
    assert attempt(gpu, result, "print('half'); raise SystemExit(3)") == "failed"
    assert attempt(gpu, result, "print('a')", seconds=0.0) == "late"
    waits = f"import os, time; open({str(started)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    assert attempt(gpu, result, waits, seconds=2.0) == "late"
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)
    assert not result.exists()


def test_the_page_has_what_can_be_read(gpu, tmp_path):
    figures = [
        bench.Figures(part, name, 64, 1000, [0.1], 2.0, 3_000_000, 4_000_000)
        for part, name in (("stepping", None), ("stepping and policy", None), ("training", "espo"))
    ]
    around = {"device": {"count": 1, "kind": "H100"}, "versions": {"jax": "0.11.2"}}
    content = bench_table.as_json(figures, {"task": "safety_reacher", "backend": "spring"}, around)
    (tmp_path / "bench-good.json").write_text(json.dumps(content))
    (tmp_path / "bench-bad.json").write_text("{}")
    (tmp_path / "sizes-good.md").write_text("a table\n")
    page = gpu.page(tmp_path)
    assert "1 x H100, jax 0.11.2\n" in page
    assert "| safety_reacher | spring | 64 | 1,000 | 10,000 | 10,000 | 10,000 | 100 | 2 | 3 | 4 |" in page
    assert f"Left out: {tmp_path / 'bench-bad.json'} is no file of espo bench" in page
    assert page.endswith("## What fewer samples save: good\n\na table\n")


@pytest.mark.parametrize("part", ["safety_reacher:spring", "safety_reacher:spring:x", ":spring:64", "a:b:1:2"])
def test_a_part_needs_task_backend_and_environments(gpu, part, tmp_path):
    with pytest.raises(SystemExit, match=f"parts has '{part}': each must be task:backend:environments"):
        gpu.main(gpu.Args(tmp_path / "out", parts=(part,)))
    assert not (tmp_path / "out").exists()


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
