"""How a run and its repetition compare."""

from espo_jax.results import replay


def test_differences_are_relative_and_of_the_fields_that_both_lines_have():
    recorded = {"kl": 1.0, "cost": [2.0, 4.0], "same": "inf", "mode": "reward", "steps_per_second": 5, "gone": 1}
    again = {"kl": 0.75, "cost": [2.0, 5.0], "same": "inf", "mode": "cost", "steps_per_second": 6, "new": 1}
    assert replay.differences(recorded, again) == {"kl": 0.25, "cost": 0.2, "mode": 1.0}
