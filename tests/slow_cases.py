"""Cases of parametrised tests that are left to `make slow`, because the quick ones run most of their code."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest

from espo_jax import algorithms

# TRPO, CRPO and PCRPO take the steps of ESPO, in some of its modes.
DISTINCT_ALGORITHMS = ("espo", "pcpo", "cup", "ppo_lagrangian")


def slow_but(quick: Collection[Any], cases: Iterable[Any]) -> list[Any]:
    """The cases, of which those that are not quick are marked as slow.

    Args:
      quick: cases that every run of the tests has.
      cases: all cases: values, or tuples of the values of several parameters.

    Raises:
      ValueError: a quick case is none of the cases.
    """
    cases = list(cases)
    if unknown := [case for case in quick if case not in cases]:
        raise ValueError(f"{unknown} are none of the cases")
    return [case if case in quick else _slow(case) for case in cases]


def every_algorithm(*left_out: str) -> list[Any]:
    """Names of the algorithms without those left out. Those that share ESPO's steps are slow cases."""
    names = [name for name in algorithms.RULES if name not in left_out]
    return slow_but([name for name in DISTINCT_ALGORITHMS if name in names], names)


def _slow(case: Any) -> Any:
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
