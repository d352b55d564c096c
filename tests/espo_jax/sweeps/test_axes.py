"""Axes: their values, their combinations, and what is refused."""

import numpy as np
import pytest

from espo_jax.sweeps import axes
from espo_jax.sweeps.axes import Axis, Range
from espo_jax.sweeps.options import SweepOptions


def test_every_combination_of_a_grid_the_last_axis_fastest():
    found = axes.combinations([*axes.grid(cost_limit=[1.0, 2.0], target_kl=[0.1]), Axis(("algorithm",), (("espo",),))])
    assert found == [{"cost_limit": x, "target_kl": 0.1, "algorithm": "espo"} for x in (1.0, 2.0)]
    assert axes.combinations([]) == [{}]


def test_zipped_settings_vary_together():
    axis = axes.zipped(cost_limit=[1.0, 2.0], zeta_negative=[-0.1, -0.2])
    assert axes.combinations([axis]) == [
        {"cost_limit": 1.0, "zeta_negative": -0.1},
        {"cost_limit": 2.0, "zeta_negative": -0.2},
    ]


def test_more_random_draws_begin_with_the_same():
    ranges = {"target_kl": Range(0.001, 0.1, "log"), "lbfgs_iterations": Range(5, 50, "linear")}
    few, many = axes.random(20, **ranges), axes.random(2000, **ranges)
    assert many.points[: len(few.points)] == few.points
    assert axes.random(20, seed=1, **ranges).points != few.points
    kl, iterations = map(np.array, zip(*many.points, strict=True))
    assert 0.001 <= kl.min() < 0.0015 < 0.07 < kl.max() <= 0.1
    assert np.median(kl) == pytest.approx(0.01, rel=0.15)  # the middle of a log scale
    assert iterations.dtype == int
    assert 5 <= iterations.min() < iterations.max() <= 50


def test_a_negative_range_may_have_a_log_scale():
    points = axes.random(50, zeta_negative=Range(-0.5, -0.05, "log")).points
    assert all(-0.5 <= value <= -0.05 for (value,) in points)


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("cost_limit=25,50", "cost_limit", (25.0, 50.0)),
        ("cost-limit=25:5,50:6", "cost_limit", ((25.0, 5.0), (50.0, 6.0))),
        ("num_envs=16,64", "num_envs", (16, 64)),
        ("policy_hidden_sizes=64:64,256", "policy_hidden_sizes", ((64, 64), (256,))),
        ("reset_each_iteration=true,False", "reset_each_iteration", (True, False)),
        ("anneal_zeta_positive=true", "anneal_zeta_positive", (True,)),
        ("algorithm=espo, crpo", "algorithm", ("espo", "crpo")),
        ("slack_positive=inf", "slack_positive", (np.inf,)),
    ],
)
def test_values_from_text(text, name, values):
    assert axes.parse_values(text) == (name, values)


@pytest.mark.parametrize(("text", "seeds"), [("0-3", (0, 1, 2, 3)), ("5", (5,)), ("0,3,2-4", (0, 3, 2, 4))])
def test_seeds_from_text(text, seeds):
    assert axes.parse_seeds(text) == seeds


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid": ("zeta_negativ=1",)}, "axis zeta_negativ: there is no such setting; did you mean zeta_negative?"),
        ({"grid": ("num_iterations=3",)}, "axis num_iterations: all lanes of a sweep have the same num_iterations"),
        ({"grid": ("seed=3",)}, "axis seed: every point of a sweep has the same seeds; give them with seeds"),
        ({"grid": ("cost_limit",)}, "axis 'cost_limit': it must be name=value,value"),
        ({"grid": ("cost_limit=-1",)}, r"axis cost_limit is -1: it must lie in \[0, inf\)"),
        ({"grid": ("cost_limit=1:-1",)}, r"axis cost_limit is -1: it must lie in \[0, inf\)"),
        ({"grid": ("cost_limit=a",)}, "axis cost_limit has the value 'a': it must be a number"),
        ({"grid": ("cost_limit=",)}, "axis cost_limit has the value '': it must be a number"),
        ({"grid": ("num_envs=1.5",)}, "axis num_envs has the value '1.5': it must be a number"),
        ({"grid": ("activation=step",)}, "axis activation is 'step': it must be one of tanh, relu"),
        (
            {"grid": ("reset_each_iteration=1",)},
            "reset_each_iteration has the value '1': it must be True or False",
        ),
        ({"grid": ("cost_limit=1", "cost_limit=2")}, "grid names cost_limit twice"),
        ({"zip": ("cost_limit=1,2", "target_kl=0.1")}, "zip has different numbers of values"),
        ({"random": 3}, "random and range need each other: give --range"),
        ({"range": ("target_kl=0.1:0.2:log",)}, "random and range need each other: give --random"),
        ({"random": 3, "range": ("target_kl=0.1:0.2",)}, "range target_kl=0.1:0.2: it must be low:high:linear or"),
        ({"random": 3, "range": ("target_kl=0.1:x:log",)}, "range target_kl=0.1:x:log: it must be low:high:linear or"),
        ({"random": 3, "range": ("target_kl=0.2:0.1:log",)}, "range target_kl is 0.2 to 0.1: low must be below high"),
        ({"random": 3, "range": ("target_kl=0:1:log",)}, "range target_kl is 0 to 1: a log scale needs ends of one"),
        ({"random": 3, "range": ("target_kl=0.1:1:cubic",)}, "scale is 'cubic': it must be one of linear, log"),
        ({"random": 3, "range": ("algorithm=0:1:log",)}, "range algorithm: algorithm is not a number"),
        ({"random": 0, "range": ("target_kl=0.1:1:log",)}, "random is 0"),
        ({"seeds": "a"}, "seeds is 'a': it must be numbers and ranges"),
        ({"seeds": "5-2"}, "seeds is '5-2': it must be numbers and ranges"),
        ({"pack_size": 0}, r"pack_size is 0: it must be an integer in \[1, 2\^31\)"),
    ],
)
def test_bad_axes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SweepOptions(**options)


def test_a_setting_varies_once():
    with pytest.raises(ValueError, match="two axes vary cost_limit"):
        axes.combinations([*axes.grid(cost_limit=[1.0]), axes.zipped(cost_limit=[1.0])])


def test_too_many_combinations_are_refused_before_they_are_made():
    many = axes.grid(cost_limit=range(10**4), target_kl=[0.1 + x for x in range(10**4)])
    with pytest.raises(ValueError, match="the axes have 100,000,000 combinations: at most"):
        axes.combinations(many)
