"""`espo bench` prints a Markdown table, writes its figures as it goes, and compares two files."""

import json

import pytest

from espo_jax.cli import bench, main
from espo_jax.results.bench import BenchOptions
from tests.probe_envs import CountingEnv

OPTIONS = {"num_envs": "4", "samples": 16, "repeats": 1, "warm_iterations": 0}


def test_measures_prints_and_writes(tmp_path, capsys):
    path = tmp_path / "out.json"
    env = CountingEnv(lifetime=5, episode_length=100)
    picture = tmp_path / "out.png"
    assert bench.bench(BenchOptions(**OPTIONS, json=str(path), plot=str(picture)), env) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[1] for line in lines[-3:]] == ["stepping", "stepping and policy", "training, espo"]
    content = json.loads(path.read_text())
    assert [row["part"] for row in content["figures"]] == ["stepping", "stepping and policy", "training"]
    assert content["settings"]["task"] == "safety_reacher"
    assert "jax" in content["versions"]
    assert main(["bench", "--compare", str(path), str(path)]) == 0
    assert capsys.readouterr().out.count(" | 1.00 | 1.00 |") == 3


def test_what_was_measured_is_shown_if_the_file_cannot_be_written(tmp_path, capsys, monkeypatch):
    plain, calls = bench.files.write_json, []

    def full(path, content):
        calls.append(content)
        if len(calls) > 2:
            raise OSError(28, "No space left on device")
        plain(path, content)

    monkeypatch.setattr(bench.files, "write_json", full)
    env = CountingEnv(lifetime=5, episode_length=100)
    assert bench.bench(BenchOptions(**OPTIONS, json=str(tmp_path / "out.json")), env) == 4
    printed = capsys.readouterr()
    assert "| stepping and policy |" in printed.out
    assert printed.err == "espo: [Errno 28] No space left on device; the table has what was measured\n"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--task", "safety_walk"], "safety_walk"),
        (["--num-envs", "1.5"], "num_envs is '1.5'"),
        (["--json", "/no/such/folder/out.json"], "/no/such/folder"),
        (["--plot", "/no/such/folder/out.png"], "/no/such/folder"),
        (["--plot", "out.text"], "Format 'text' is not supported"),
        (["--compare", "/no/a.json", "/no/b.json"], "/no/a.json"),
    ],
)
def test_bad_input_is_one_line(flags, message, capsys):
    assert main(["bench", *flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith("espo: error: ")
    assert message in error
    assert error.count("\n") == 1
