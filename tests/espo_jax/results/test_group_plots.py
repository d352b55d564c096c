"""Runs over each other: grouped as asked, aligned, with the intervals they say."""

import numpy as np
import pytest

from espo_jax.results import group_plots
from espo_jax.results.read import read_run
from espo_jax.results.statistics import bootstrap_interval
from tests.made_up import made_up, run_dirs


@pytest.fixture
def runs(tmp_path):
    return run_dirs(tmp_path)


def test_groups_are_by_any_setting(runs):
    read = [read_run(path) for path in runs]
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


def test_lines_are_means_with_bootstrap_bands(runs, monkeypatch):
    drawn = {}

    class Panel:
        def plot(self, x, y, **style):
            drawn.setdefault(style.get("label") or style["linestyle"], y)

        def fill_between(self, x, low, high, **_):
            drawn["band"] = low, high

    records = [read_run(path).records for path in runs[:4]]
    group_plots._curve(Panel(), records, "episode_cost", "iteration", color="k", label="all")
    values = group_plots.align(records, "episode_cost")[1][..., 0]
    np.testing.assert_allclose(drawn["all"], values.mean(axis=0))
    np.testing.assert_allclose(drawn["band"], bootstrap_interval(values))
    np.testing.assert_allclose(drawn["--"], np.sort(values, axis=0)[1:3].mean(axis=0))


def test_several_costs_one_seed_and_infinite_slack(tmp_path):
    several = made_up(np.linspace([90.0, 10.0], [35.0, 38.0], 5), ([-np.inf] * 2, [5.0, 5.0]))
    group_plots.draw({"espo": [several], "trpo": [several[:3]]}, tmp_path / "plot.svg", title="several")
    assert (tmp_path / "plot.svg").stat().st_size > 20_000


def test_runs_without_a_common_part_are_refused():
    one, other = ([{"env_steps": float(s), "episode_reward": 0.0} for s in steps] for steps in ((1, 2), (5, 9)))
    with pytest.raises(ValueError, match="the runs of a group have no part in common"):
        group_plots.align([one, other], "episode_reward", "env_steps")
