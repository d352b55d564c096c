"""A finished run to read, a copy of it to damage, and what is the same in two runs of the same numbers."""

import json

import pytest

from tests.shared_programs import shared_programs  # noqa: F401
from tests.tiny_runs import copied, finished, measured


@pytest.fixture
def intact():
    return finished()


@pytest.fixture
def victim(intact, tmp_path):
    return copied(intact, tmp_path / "run")


@pytest.fixture
def same_run():
    """Asserts that two runs gave the same numbers to the bit."""

    def check(one, other):
        assert measured(one) == measured(other)
        assert (one / "policy.npz").read_bytes() == (other / "policy.npz").read_bytes()
        assert (one / "evaluations.jsonl").read_text() == (other / "evaluations.jsonl").read_text()
        results = [json.loads((path / "result.json").read_text()) for path in (one, other)]
        assert results[0]["evaluation"] == results[1]["evaluation"]

    return check
