"""The fresh episodes of lanes are read as they were written."""

import types

import numpy as np
import pytest

from espo_jax.evaluation import POLICIES, Episodes
from espo_jax.sweeps import episodes
from espo_jax.sweeps.folder import SweepFolder
from tests.tiny_runs import DATA


@pytest.mark.parametrize("num_constraints", [1, 12])
def test_round_trip(tmp_path, num_constraints):
    rng = np.random.default_rng(0)
    written = {
        policy: Episodes(
            rng.normal(size=(3, 5)), rng.normal(size=(3, 5, num_constraints)), rng.integers(9, size=(3, 5))
        )
        for policy in POLICIES
    }
    folder = types.SimpleNamespace(group_path=lambda group: tmp_path)
    episodes.write(folder, None, ["c", "a", "b"], written)
    found = episodes.read(folder, None)
    assert set(found) == {"a", "b", "c"}
    for place, lane in enumerate(["c", "a", "b"]):
        for policy in POLICIES:
            for one, other in zip(found[lane][policy], written[policy], strict=True):
                np.testing.assert_array_equal(one, other[place])


def test_without_episodes_there_is_no_file(tmp_path):
    folder = types.SimpleNamespace(group_path=lambda group: tmp_path)
    episodes.write(folder, None, ["a"], {})
    assert not list(tmp_path.iterdir())
    assert episodes.read(folder, None) == {}


def test_a_sweep_of_an_earlier_version_has_none():
    folder = SweepFolder.open(DATA / "sweep_1")
    assert [episodes.read(folder, group) for group in folder.manifest.groups] == [{}, {}]
