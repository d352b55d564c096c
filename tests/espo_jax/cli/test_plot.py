"""`espo plot`: the picture, the table, and what is refused."""

import pytest

from espo_jax import cli
from tests.made_up import run_dirs


@pytest.fixture
def runs(tmp_path):
    return run_dirs(tmp_path)


@pytest.mark.parametrize("x", ["iteration", "env_steps"])
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_picture_and_table_by_the_command(runs, tmp_path, capsys, monkeypatch, x, suffix):
    monkeypatch.setenv("COLUMNS", "200")
    output = tmp_path / f"plot.{suffix}"
    flags = ["--group-by", "zeta_negative", "--x", x, "--output", str(output)]
    assert cli.main(["plot", *map(str, runs), *flags]) == 0
    assert output.stat().st_size > 20_000
    printed = capsys.readouterr().out
    assert "zeta_negative -0.6" in printed
    assert "0/3" in printed, "means of the last 20 iterations are above the limit"


@pytest.mark.parametrize(
    ("change", "flags", "message"),
    [
        (None, ["--x", "time"], "invalid choice 'time' for argument '--x'. Expected one of ('iteration', 'env_steps')"),
        (None, ["--output", "plot.doc"], "Format 'doc' is not supported"),
        (None, ["--output", "nowhere/plot.png"], "No such file or directory"),
        ("metrics.jsonl", [], "metrics.jsonl holds no iteration"),
        ("config.json", [], "config.json is damaged"),
    ],
)
def test_bad_input_is_one_line(runs, tmp_path, monkeypatch, capsys, change, flags, message):
    monkeypatch.chdir(tmp_path)
    if change:
        (runs[0] / change).write_text("nothing\n")
    assert cli.main(["plot", str(runs[0]), *flags]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def test_no_run_is_refused(capsys):
    assert cli.main(["plot"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
