"""What the committed examples are said to do, by an independent loop."""

import json
from pathlib import Path

import numpy as np
import pytest
from tabular import constants, counterexamples
from tabular.candidates import candidates, described, restored
from tabular.cmdp import nth, stack

from tests.experiments.tabular.references import bandit_path

RESULTS = Path(__file__).parents[3] / "docs" / "results" / "theory.json"


@pytest.fixture(scope="module")
def results():
    return json.loads(RESULTS.read_text())


@pytest.fixture(scope="module")
def leaving(results):
    return results["region_examples"]["leaving"]["centred"]


def path_of(example, weight, fisher, constant=1):
    (reward,), (cost,), count = example["reward"], example["cost"], example["T"]
    problem = reward, cost, example["limit"], example["discount"]
    path, _, top = bandit_path(*problem, count, weight, fisher, constant)
    return path, top


@pytest.mark.parametrize("weight", np.linspace(0, 1, 11))
def test_the_example_leaves_the_region_with_every_weight(leaving, weight):
    path, top = path_of(leaving, weight, fisher=False)
    first = np.argmax(path <= top)
    assert path[first] <= top
    assert path[first:].max() > top + 1e-6


@pytest.mark.parametrize("weight", [0.0, 0.25, 0.5, 0.75])
def test_in_the_fisher_product_it_stays(leaving, weight):
    path, top = path_of(leaving, weight, fisher=True)
    assert path[np.argmax(path <= top) :].max() <= top


@pytest.mark.parametrize("constant", constants.FACTORS)
def test_the_excess_with_other_constants(results, leaving, constant):
    (row,) = (
        row
        for row in results["constants"]["examples"]
        if (row["reading"], row["T"], row["factor"]) == ("centred", leaving["T"], constant)
    )
    for weight, excess in zip(results["region_examples"]["weights"], row["excess"], strict=True):
        path, top = path_of(leaving, weight, fisher=False, constant=constant)
        highest = path[np.argmax(path <= top) :].max()
        assert max(highest - top, 0) / (top - leaving["limit"]) == pytest.approx(excess, abs=1e-6)


def test_candidates_have_limits_that_bind():
    cmdps = candidates(0, 5, 2, 2)
    assert cmdps.reward.shape == (5, 2, 2)
    assert np.isin(cmdps.reward, [0, 0.25, 0.5, 0.75, 1]).all()
    assert np.isin(cmdps.transition, [0, 1]).all()


def test_a_description_has_the_whole_candidate():
    cmdp = nth(candidates(1, 3, 2, 3), 2)
    for field, again in zip(cmdp, restored(described(cmdp)), strict=True):
        np.testing.assert_array_equal(field, again)


@pytest.mark.usefixtures("x64")
def test_what_each_weight_does(leaving):
    weights, count = (0.0, 0.5), 400
    cmdps = stack([restored(leaving)])
    found = counterexamples.each_weight(cmdps, weights, "centred", count, factor=2.0)
    for place, weight in enumerate(weights):
        problem = leaving["reward"][0], leaving["cost"][0], leaving["limit"], leaving["discount"]
        path, output, top = bandit_path(*problem, count, weight, fisher=False, constant=2)
        first = np.argmax(path <= top)
        assert found["left"][place, 0] == (path[first:] > top).any()
        assert found["stays"][place, 0] == (path[first:] <= top).all()
        assert found["followed"][place, 0] == (output > 0).sum()
