"""`espo render`: what is refused."""

import pytest

from espo_jax import cli
from espo_jax.runs.run_config import RunConfig
from tests.made_up import hopper


@pytest.fixture
def run_dir():
    return hopper()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output", "film.avi"], "its suffix must be one of .mp4, .gif"),
        (["--fps", "0"], "fps is 0: it must be an integer in [1, 2^31)"),
        (["--width", "161"], "width and height are 161 and 480: they must be even for .mp4"),
        (["--steps", "0"], "steps is 0: it must be an integer in [1, 2^31)"),
    ],
)
def test_bad_input(run_dir, flags, message, capsys):
    assert cli.main(["render", str(run_dir), *flags]) == 2
    assert message in capsys.readouterr().err
    assert RunConfig.read(run_dir).options.task == "safety_hopper"
