"""What the committed examples are said to do, by an independent loop."""

import json
from pathlib import Path

import numpy as np
import pytest
from tabular import counterexamples

from tests.experiments.tabular.references import bandit_path

RESULTS = Path(__file__).parents[3] / "docs" / "results" / "theory.json"


@pytest.fixture(scope="module")
def leaving():
    return json.loads(RESULTS.read_text())["region_examples"]["leaving"]["centred"]


def path_of(example, weight, fisher):
    (reward,), (cost,) = example["reward"], example["cost"]
    path, _, top = bandit_path(reward, cost, example["limit"], example["discount"], example["T"], weight, fisher)
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


def test_candidates_have_limits_that_bind():
    cmdps = counterexamples.candidates(0, 5, 2, 2)
    assert cmdps.reward.shape == (5, 2, 2)
    assert np.isin(cmdps.reward, [0, 0.25, 0.5, 0.75, 1]).all()
    assert np.isin(cmdps.transition, [0, 1]).all()
