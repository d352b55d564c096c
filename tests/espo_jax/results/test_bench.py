"""`espo bench`: what is timed is what it says, the table and the file hold it, and files compare."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from espo_jax.results import bench, bench_plot, bench_table
from espo_jax.results.bench import STEPPING, TRAINING, WITH_POLICY, BenchOptions
from espo_jax.runs.files import DamagedError, write_json
from tests.probe_envs import CountingEnv


def figures(part=STEPPING, **changes):
    values = {
        "part": part, "algorithm": "espo" if part == TRAINING else None, "num_envs": 64, "samples": 1000,
        "seconds": [0.5, 0.1, 0.2], "compile_seconds": 3.25, "program_bytes": 2_000_000, "peak_bytes": 3_000_000_000,
    }  # fmt: skip
    return bench.Figures(**{**values, **changes})


@pytest.fixture(scope="module")
def measured():
    """The counting environment, in two widths, with two algorithms."""
    options = BenchOptions(num_envs="2, 4", algorithms="espo,crpo", samples=16, repeats=2, warm_iterations=1)
    return list(bench.measure(options, CountingEnv(lifetime=5, episode_length=100)))


def test_every_part_is_measured_for_every_width(measured):
    parts = [(STEPPING, None), (WITH_POLICY, None), (TRAINING, "espo"), (TRAINING, "crpo")]
    assert [(f.num_envs, f.part, f.algorithm) for f in measured] == [(n, *part) for n in (2, 4) for part in parts]
    for each in measured:
        assert (each.samples, len(each.seconds)) == (16, 2)
        assert min(each.seconds) > 0
        assert each.compile_seconds > 0
        assert each.program_bytes > 0
        assert each.peak_bytes > each.program_bytes


def test_what_is_timed_takes_the_samples_that_it_says():
    algorithm, hyperparams = bench.make(
        CountingEnv(lifetime=100, episode_length=100), "safety_reacher", num_envs=4, base_sample_size=40
    )
    state = jax.jit(algorithm.init)(jax.random.key(0), hyperparams)
    before = np.asarray(algorithm.env.age(state.env_state))
    samples = jnp.int32(40)
    after = jax.jit(bench.stepping_fn(algorithm))(state, samples)
    ages = np.asarray(algorithm.env.age(after))
    np.testing.assert_array_equal((ages - before) % 100, 10)
    env_state, rollout = jax.jit(bench.rollout_fn(algorithm))(state, samples)
    assert int(rollout.mask.sum()) == 40
    np.testing.assert_array_equal(algorithm.env.age(env_state), ages)
    trained, metrics = jax.jit(bench.training_fn(algorithm))(state, jnp.int32(28), hyperparams)
    assert int(metrics.sample_size) == 28
    assert int(trained.iteration) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_envs": "64,x"}, "num_envs is '64,x': it must be integers"),
        ({"num_envs": ","}, "num_envs is empty"),
        ({"num_envs": "0"}, "num_envs is 0"),
        ({"algorithms": "espo,ppo"}, "algorithms is 'ppo': it must be one of"),
        ({"samples": 10}, r"samples is 10: it must be at least num_envs \(64\)"),
        ({"repeats": 0}, "repeats is 0"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        BenchOptions(**options)


def test_samples_are_the_papers_or_sixteen_steps_of_every_environment():
    options = BenchOptions(num_envs="16,4096")
    assert [options.samples_of(n) for n in options.widths] == [16_000, 65_536]


def test_the_table_shows_median_slowest_and_fastest():
    assert bench_table.row(figures(TRAINING)) == (
        "| 64 | training, espo | 1,000 | 5,000 | 2,000 | 10,000 | 3.2 | 2.0 | 3,000.0 |"
    )
    assert len({line.count("|") for line in (*bench_table.head().split("\n"), bench_table.row(figures()))}) == 1


def written(path, *rows):
    around = {"device": {"kind": "TPU v9", "count": 1}, "versions": {"jax": "9.9"}}
    write_json(path, bench_table.as_json(rows, {"task": "safety_hopper", "backend": "mjx"}, around))
    return path


def test_two_files_compare_in_what_they_have_in_common(tmp_path):
    one = written(tmp_path / "a.json", figures(), figures(TRAINING), figures(num_envs=8))
    other = written(
        tmp_path / "b.json", figures(TRAINING, seconds=[0.1], program_bytes=1_000_000), figures(num_envs=16)
    )
    lines = bench_table.compare(one, other).split("\n")
    assert lines[:3] == [
        "a: safety_hopper on mjx, TPU v9, jax 9.9",
        "b: safety_hopper on mjx, TPU v9, jax 9.9",
        "3 figures are in one file only",
    ]
    assert lines[-1] == "| 64 | training, espo | 1,000 | 5,000 | 10,000 | 2.00 | 0.50 |"
    alone = written(tmp_path / "c.json", figures(samples=5))
    with pytest.raises(DamagedError, match="have no part with the same"):
        bench_table.compare(one, alone)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": None}, "has no format number"),
        ({"format": 2}, "has format 2: a later version wrote it"),
        ({"figures": []}, "has no figures"),
        ({"figures": [3]}, "has a figure without a part"),
        ({"figures": [{"part": "stepping"}]}, "has a figure whose num_envs is no number"),
    ],
)
def test_a_file_of_something_else_is_refused(change, message, tmp_path):
    path = written(tmp_path / "a.json", figures())
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DamagedError, match=message):
        bench_table.read(path)


def test_a_picture_has_plain_labels_and_every_part(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(bench_plot, "save", lambda figure, path: drawn.append(figure))
    parts = [figures(part, num_envs=n) for part in (STEPPING, TRAINING) for n in (64, 1024)]
    bench_plot.draw(parts, tmp_path / "out.png", "a task on $physics$")
    (figure,) = drawn
    figure.canvas.draw()
    (panel,) = figure.axes
    labels = [label.get_text() for axis in (panel.xaxis, panel.yaxis) for label in axis.get_ticklabels(which="both")]
    assert not any("$" in label for label in labels)
    assert {"64", "1,024"} <= set(labels)
    assert sum(label.endswith("k") for label in labels) >= 2, "speeds within one decade have labels too"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["stepping", "training, espo"]
