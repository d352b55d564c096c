"""`espo plot`: the picture, the table, and what is refused."""

import pytest

from espo_jax import cli
from tests.made_up import run_dirs
from tests.tiny_runs import compared


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


def test_runs_of_different_settings_are_refused_with_the_grouping_that_keeps_them_apart(runs, tmp_path, capsys):
    """Without a picture; the offered grouping is accepted."""
    output = tmp_path / "plot.svg"
    assert cli.main(["plot", *map(str, runs), "--output", str(output)]) == 2
    printed = capsys.readouterr().err
    assert "the group 'espo' averages runs that differ in zeta_negative (-0.3, -0.6): " in printed
    assert printed.count("\n") == 1
    assert not output.exists()
    offered = printed.partition("--group-by ")[2].split()[0]
    assert cli.main(["plot", *map(str, runs), "--output", str(output), "--group-by", offered]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "espo, zeta_negative -0.6: its runs end at iterations 40, 41, 42, shown up to 40" in said


def test_folders_of_several_runs_stand_for_them(runs, tmp_path, capsys):
    output = tmp_path / "plot.svg"
    flags = ["--group-by", "zeta_negative", "--output", str(output)]
    assert cli.main(["plot", str(tmp_path), *flags]) == 0
    assert output.read_text().count("(3 runs)") >= 2
    path = compared()[2]
    assert cli.main(["plot", str(path), "--output", str(output)]) == 0
    assert "<!-- trpo (2 runs) -->" in output.read_text(), "a comparison is drawn by algorithm"
    assert cli.main(["plot", *map(str, runs[:3]), "--color-by", "seed", "--output", str(output)]) == 2
    assert "color_by is 'seed': it is for a sweep that is drawn as a whole" in capsys.readouterr().err


def test_no_run_is_refused(capsys):
    assert cli.main(["plot"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
