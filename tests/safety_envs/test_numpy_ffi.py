"""NumPy functions in a compiled program, found by a number; the program is kept on disk and found again."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safety_envs
from safety_envs.physics import numpy_ffi

ROOT = Path(__file__).parents[2]


def call(number, x, *shapes):
    results = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return jax.ffi.ffi_call(numpy_ffi.TARGET, results)(x, number=np.int64(number))


def test_arguments_and_results_of_every_shape_cross():
    seen = []

    def fn(x):
        seen.append((x.dtype, x.shape, x.copy()))
        return x.sum(axis=-1), np.empty((0, 3), np.float32), np.float32(7).reshape(())

    numpy_ffi.register(1001, fn)
    x = np.arange(6, dtype=np.uint32).reshape(2, 3)
    total, nothing, seven = jax.jit(lambda x: call(1001, x, (2,), (0, 3), ()))(x)
    np.testing.assert_array_equal(total, [3, 12])
    assert nothing.shape == (0, 3)
    assert seven == 7
    assert seen[0][:2] == (np.dtype(np.uint32), (2, 3))


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (lambda x: (_ for _ in ()).throw(ArithmeticError("no such state")), "ArithmeticError: no such state"),
        (lambda x: (x[:1],), r"a result has shape \(1,\); it must be \(2,\)"),
        (lambda x: (), "zip"),
    ],
)
def test_an_error_of_the_function_ends_the_program_with_its_text(fn, message):
    number = 1002 + hash(message) % 1000
    numpy_ffi.register(number, fn)
    with pytest.raises(jax.errors.JaxRuntimeError, match=message):
        jax.block_until_ready(jax.jit(lambda x: call(number, x, (2,)))(np.ones(2, np.float32)))


def test_a_program_works_when_its_environment_is_gone():
    """Two environments of one task share the number of their physics."""
    env, twin = (safety_envs.make("safety_reacher", backend="mujoco") for _ in range(2))
    step = jax.jit(twin.step).lower(jax.eval_shape(twin.reset, jax.random.key(0)), jnp.zeros(2)).compile()
    state = jax.jit(env.reset)(jax.random.key(0))
    del env, twin
    jax.clear_caches()
    gc.collect()
    assert np.isfinite(step(state, jnp.zeros(2)).obs).all()


SCRIPT = """
import jax, safety_envs
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
env = safety_envs.make("safety_walker2d", backend="mujoco")
state = jax.jit(env.reset)(jax.random.key(0))
print(jax.jit(env.step)(state, jax.numpy.ones(6)).obs.tolist())
"""


def test_a_program_on_disk_is_found_by_another_process(tmp_path):
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(tmp_path), "JAX_ENABLE_COMPILATION_CACHE": "true"}
    environment |= {"PYTHONPATH": f"{ROOT}:{ROOT / 'envs'}"}
    printed, times = [], []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True, env=environment
        )
        printed.append(done.stdout)
        times.append({file.name: file.stat().st_mtime_ns for file in tmp_path.glob("jit_step*-cache")})
    assert len(times[0]) == 1, "the step is on disk although it calls the host"
    assert times[0] == times[1], "and is not compiled again"
    assert printed[0] == printed[1]
