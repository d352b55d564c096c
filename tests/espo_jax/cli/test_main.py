"""The `espo` command: which subcommand runs, and its version."""

import pytest

from espo_jax import cli


def test_unknown_command_names_the_known(capsys):
    assert cli.main(["fly"]) == 2
    assert "train" in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith("espo_jax ")
