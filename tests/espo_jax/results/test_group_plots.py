"""Runs over each other: grouped as asked, aligned, with the intervals they say."""

import numpy as np
import pytest

from espo_jax import cli
from espo_jax.algorithms.types import Metrics
from espo_jax.modes import MODE_NAMES
from espo_jax.results import group_plots
from espo_jax.results.statistics import bootstrap_interval

from .test_plots import made_up
from tests.tiny_runs import prepare


@pytest.fixture
def runs(tmp_path):
    """Run directories of made-up metrics: two settings of zeta, three seeds each, of unequal lengths."""
    paths = []
    for zeta in (-0.3, -0.6):
        for seed in range(3):
            path = tmp_path / f"run{zeta}{seed}"
            job = prepare(path, seed=seed, settings={"zeta_negative": zeta})
            lines = made_up(np.geomspace(900, 30 + seed, 40 + seed), (-9.0, 9.0))
            for line in lines:
                job.directory.append({**complete(), **line})
            job.directory.close()
            paths.append(path)
    return paths


def complete():
    numbers = dict.fromkeys(Metrics._fields, 0.0)
    return {**numbers, "mode_counts": dict.fromkeys(MODE_NAMES, 0), "steps_per_second": 1.0}


def test_groups_are_by_any_setting(runs):
    read = [group_plots.read(path) for path in runs]
    by_zeta = group_plots.group(read, ["algorithm", "zeta_negative"])
    assert {name: len(group) for name, group in by_zeta.items()} == {
        "espo, zeta_negative -0.3": 3, "espo, zeta_negative -0.6": 3,
    }  # fmt: skip
    assert list(group_plots.group(read, ["seed"])) == ["seed 0", "seed 1", "seed 2"]
    assert list(group_plots.group(read, ["num_envs"])) == ["num_envs 4"]
    for field in ("zeta", "config"):
        with pytest.raises(ValueError, match=f"group_by is '{field}': a run has no such setting"):
            group_plots.group(read, [field])


def test_iterations_are_those_that_all_runs_have():
    short, long = made_up(np.arange(3.0), (0.0, 0.0)), made_up(np.arange(5.0) + 1, (0.0, 0.0))
    x, values = group_plots.align([short, long], "episode_cost")
    assert x.tolist() == [1, 2, 3]
    assert values[..., 0].tolist() == [[0, 1, 2], [1, 2, 3]]


def test_steps_are_interpolated_where_all_runs_are():
    first = [{"env_steps": 100 * i, "episode_cost": 10.0 * i} for i in (1, 2, 3)]
    second = [{"env_steps": 50 * i, "episode_cost": 5.0 * i} for i in (1, 2, 3, 4)]
    x, values = group_plots.align([first, second], "episode_cost", "env_steps")
    assert (x[0], x[-1]) == (100, 200)
    np.testing.assert_allclose(values[..., 0], np.stack([x / 10, x / 10]))


@pytest.mark.parametrize("x", ["iteration", "env_steps"])
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_picture_and_table_by_the_command(runs, tmp_path, capsys, monkeypatch, x, suffix):
    monkeypatch.setenv("COLUMNS", "200")
    output = tmp_path / f"plot.{suffix}"
    flags = ["--group-by", "zeta_negative", "--x", x, "--output", str(output)]
    assert cli.main(["plot", *map(str, runs), *flags]) == 0
    assert output.stat().st_size > 20_000
    printed = capsys.readouterr().out
    assert "zeta_negative -0.6" in printed
    assert "0/3" in printed, "means of the last 20 iterations are above the limit"


def test_lines_are_means_with_bootstrap_bands(runs, monkeypatch):
    drawn = {}

    class Panel:
        def plot(self, x, y, **style):
            drawn.setdefault(style.get("label") or style["linestyle"], y)

        def fill_between(self, x, low, high, **_):
            drawn["band"] = low, high

    records = [group_plots.read(path).records for path in runs[:4]]
    group_plots._curve(Panel(), records, "episode_cost", "iteration", color="k", label="all")
    values = group_plots.align(records, "episode_cost")[1][..., 0]
    np.testing.assert_allclose(drawn["all"], values.mean(axis=0))
    np.testing.assert_allclose(drawn["band"], bootstrap_interval(values))
    np.testing.assert_allclose(drawn["--"], np.sort(values, axis=0)[1:3].mean(axis=0))


def test_several_costs_one_seed_and_infinite_slack(tmp_path):
    several = made_up(np.linspace([90.0, 10.0], [35.0, 38.0], 5), ([-np.inf] * 2, [5.0, 5.0]))
    group_plots.draw({"espo": [several], "trpo": [several[:3]]}, tmp_path / "plot.svg", title="several")
    assert (tmp_path / "plot.svg").stat().st_size > 20_000


@pytest.mark.parametrize(
    ("change", "flags", "message"),
    [
        (None, ["--x", "time"], "x is 'time': it must be one of iteration, env_steps"),
        (None, ["--output", "plot.doc"], "Format 'doc' is not supported"),
        (None, ["--output", "nowhere/plot.png"], "No such file or directory"),
        ("metrics.jsonl", [], "metrics.jsonl holds no iteration"),
        ("config.json", [], "config.json is damaged"),
    ],
)
def test_bad_input_is_one_line(runs, tmp_path, monkeypatch, capsys, change, flags, message):
    monkeypatch.chdir(tmp_path)
    if change:
        (runs[0] / change).write_text("nothing\n")
    assert cli.main(["plot", str(runs[0]), *flags]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def test_runs_without_a_common_part_are_refused():
    one, other = ([{"env_steps": float(s), "episode_reward": 0.0} for s in steps] for steps in ((1, 2), (5, 9)))
    with pytest.raises(ValueError, match="the runs of a group have no part in common"):
        group_plots.align([one, other], "episode_reward", "env_steps")


def test_no_run_is_refused(capsys):
    assert cli.main(["plot"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
