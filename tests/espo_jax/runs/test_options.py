"""The options of a run are checked when they are made."""

import pytest

from espo_jax.runs.options import RunOptions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, r"seed is -1: it must be an integer in \[0, 2\^31\)"),
        ({"num_timesteps": 0}, r"num_timesteps is 0: it must be an integer in \[1, 2\^63\)"),
        ({"num_eval_episodes": 100_001}, r"num_eval_episodes is 100001: it must be an integer in \[0, 100000\]"),
        ({"eval_interval": -1}, "eval_interval is -1: it must be an integer"),
        ({"checkpoint_iterations": 2.0}, "checkpoint_iterations is 2.0: it must be an integer"),
        ({"checkpoint_minutes": 0}, r"checkpoint_minutes is 0: it must lie in \(0, inf\]"),
        ({"task": None}, "task is None: it must be text"),
    ],
)
def test_an_option_out_of_its_range_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RunOptions(**options)


def test_what_may_be_left_open():
    options = RunOptions(num_timesteps=None, backend=None, checkpoint_minutes=float("inf"), num_eval_episodes=0)
    assert options.num_timesteps is None
    assert RunOptions(num_timesteps=10**12).num_timesteps == 10**12
