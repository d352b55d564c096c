"""Statistics against their definitions, with SciPy as reference."""

import numpy as np
import pytest
import scipy.stats

from espo_jax.results.statistics import (
    bootstrap_interval,
    conditional_value_at_risk,
    interquartile_mean,
    performance_profile,
    stratified_interval,
    summarize,
)


@pytest.fixture
def values():
    return np.random.default_rng(3).gamma(2.0, size=37)


def test_mean_and_standard_error(values):
    result = summarize(values)
    assert result.mean == pytest.approx(values.mean())
    assert result.standard_error == pytest.approx(scipy.stats.sem(values))
    assert result.low < result.mean < result.high


def test_bootstrap_interval_is_scipys(values):
    reference = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=2000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    width = reference.high - reference.low
    low, high = bootstrap_interval(values)
    assert low == pytest.approx(reference.low, abs=0.06 * width)
    assert high == pytest.approx(reference.high, abs=0.06 * width)
    assert bootstrap_interval(values) == (low, high), "the same at every call"


def test_bootstrap_interval_holds_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    intervals = [bootstrap_interval(rng.normal(size=40), resamples=400) for _ in range(400)]
    hits = [low <= 0 <= high for low, high in intervals]
    assert np.mean(hits) == pytest.approx(0.95, abs=0.035)


def test_bootstrap_interval_of_curves_resamples_runs_together():
    curves = np.outer([0.0, 1.0, 2.0], [1.0, 10.0])
    low, high = bootstrap_interval(curves)
    np.testing.assert_allclose(low * 10, [low[1], 10 * low[1]])
    np.testing.assert_allclose(high, [2.0, 20.0])


def test_stratified_interval_is_that_of_a_loop_over_tasks():
    """Written from Agarwal et al.: draw as many runs within each task, then take the statistic of all."""
    rng = np.random.default_rng(5)
    strata = [rng.normal(0, 1, size=7), rng.normal(10, 3, size=4)]
    draws = [
        interquartile_mean(np.concatenate([rng.choice(values, size=len(values)) for values in strata]))
        for _ in range(4000)
    ]
    low, high = stratified_interval(strata, interquartile_mean)
    expected = np.quantile(draws, [0.025, 0.975])
    np.testing.assert_allclose([low, high], expected, atol=0.08 * np.diff(expected)[0])


def test_blocks_of_resamples_do_not_change_the_interval(values, monkeypatch):
    whole = bootstrap_interval(values, interquartile_mean)
    monkeypatch.setattr("espo_jax.results.statistics._MOST_NUMBERS", 100)
    np.testing.assert_allclose(bootstrap_interval(values, interquartile_mean), whole)


def test_performance_profile_is_one_minus_the_distribution(values):
    thresholds = np.linspace(0, 8, 30)
    reference = 1 - scipy.stats.ecdf(values).cdf.evaluate(thresholds)
    np.testing.assert_allclose(performance_profile(values, thresholds), reference, atol=1e-12)
    both = performance_profile(np.stack([values, values + 1]), thresholds, axis=1)
    np.testing.assert_allclose(both[0], reference, atol=1e-12)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 11])
def test_interquartile_mean_is_rliables(count):
    values = np.random.default_rng(count).normal(size=(count, 3))
    np.testing.assert_allclose(interquartile_mean(values), scipy.stats.trim_mean(values, 0.25, axis=0))


@pytest.mark.parametrize(
    ("alpha", "expected"), [(0.2, 9.0), (0.4, 7.0), (1.0, 4.0), (0.3, (9 + 0.5 * 5) / 1.5), (0.01, 9.0)]
)
def test_conditional_value_at_risk(alpha, expected):
    assert conditional_value_at_risk(np.array([1.0, 9.0, 2.0, 3.0, 5.0]), alpha) == pytest.approx(expected)


def test_conditional_value_at_risk_is_the_minimum_of_its_variational_form(values):
    """Rockafellar and Uryasev: min over t of t + E[max(cost - t, 0)] / alpha, attained at one of the costs."""
    reference = min(t + np.mean(np.maximum(values - t, 0)) / 0.1 for t in values)
    assert conditional_value_at_risk(values, 0.1) == pytest.approx(reference)


def test_alpha_out_of_range_is_refused(values):
    with pytest.raises(ValueError, match=r"alpha is 0: it must lie in \(0, 1\]"):
        conditional_value_at_risk(values, 0)
