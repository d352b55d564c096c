"""The `espo` command: which subcommand runs, its version, and that no text of a file or a path harms."""

import itertools
import json
import os
import signal
import subprocess
import sys

import jax
import pytest

from espo_jax import cli
from espo_jax.cli import tasks
from espo_jax.cli import train as train_command
from tests.made_up import run_dirs
from tests.slow_cases import slow_but
from tests.tiny_runs import DATA, copied


def test_unknown_command_names_the_known(capsys):
    assert cli.main(["fly"]) == 2
    assert "train" in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith("espo_jax ")


HOSTILE = (
    "x[/b]",
    "hopper[v2]",
    "[/x]",
    "\x1b[2J\x1b]0;title\x07",
    "\ud800",
    "$\\frac$ $x",
    ":smile:",
    "x" * 900,
    "a\rb",
)


def shown(text):
    """How a terminal gets it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@pytest.mark.parametrize(
    ("name", "text"),
    slow_but([("algorithm", text) for text in HOSTILE], itertools.product(["algorithm", "task", "backend"], HOSTILE)),
)
def test_names_in_a_config_are_shown_as_they_are(name, text, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "5000")
    runs = run_dirs(tmp_path)
    for seed, path in enumerate(runs):
        content = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps({**content, name: text, "seed": seed}))
    fields = f"{name},zeta_negative"
    assert cli.main(["plot", *map(str, runs), "--group-by", fields, "--output", str(tmp_path / "plot.png")]) == 0
    printed = capsys.readouterr().out
    printed.encode()
    assert shown(text) in printed
    assert not set(printed) & {"\x1b", "\x07", "\r"}


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_checkpoint_says_of_itself_is_shown_as_it_is(text, tmp_path, capsys, monkeypatch):
    """Of format 3, whose metadata have no signature."""
    path = copied(DATA / "format_3", tmp_path / "run")
    file = path / "checkpoints" / "4" / "about" / "metadata"
    about = json.loads(file.read_text())
    about["versions"]["jax"] = text
    file.write_text(json.dumps(about))
    monkeypatch.setattr(train_command.run, "execute", lambda run, console, stop: announced(run, console))
    with pytest.raises(KeyError):
        cli.main(["train", "--resume", str(path), "--num-iterations", "6"])
    printed = capsys.readouterr().out
    assert f"written with jax {shown(text)}, this is" in printed
    assert "\x1b" not in printed


def announced(run, console):
    """What is printed before a run, and a result that is none."""
    train_command.run._announce(run, console)
    run.directory.close()
    return {}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_path_in_an_error_is_shown_as_it_is(text, capsys):
    for argv in (["eval", text], ["train", "--resume", text], ["plot", text], ["train", "--task", text], [text]):
        assert cli.main(argv) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("espo: error: ")
        assert not set(line) & {"\x1b", "\x07", "\r"}
        assert len(line) < 2200


@pytest.mark.parametrize(("which", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_before_anything_is_written_ends_the_command_and_leaves_nothing(
    which, code, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(train_command.prepare, "new_run", lambda *_: os.kill(os.getpid(), which))
    assert cli.main(["train", "--run-dir", str(tmp_path / "run")]) == code
    assert capsys.readouterr().err == f"espo: interrupted by {which.name}\n"
    assert not list(tmp_path.iterdir())


def test_the_variable_for_double_precision_is_for_other_programs(capsys, monkeypatch):
    seen = []
    monkeypatch.setattr(tasks, "command", lambda argv: seen.append(jax.numpy.ones(()).dtype) or 0)
    with jax.enable_x64(True):
        assert cli.main(["tasks"]) == 0
        assert jax.numpy.ones(()).dtype == "float64"
    assert seen == ["float32"]


SWALLOWED = """
import os, signal, sys
from espo_jax import cli
class Finder:
    def find_spec(self, name, *_):
        if name == {module!r} and not sent:
            sent.append(name)
            try:
                os.kill(os.getpid(), signal.{signal})
            except {caught}:
                pass
sent = []
sys.meta_path.insert(0, Finder())
sys.exit(cli.main(["train", "--run-dir", sys.argv[1]]))
"""


MODULES = ("jax", "mujoco.mjx", "espo_jax.runs.prepare")


@pytest.mark.parametrize(
    ("module", "which", "caught"),
    slow_but(
        [
            ("jax", "SIGINT", "BaseException"),
            ("mujoco.mjx", "SIGTERM", "BaseException"),
            ("espo_jax.runs.prepare", "SIGINT", "ZeroDivisionError"),
        ],
        itertools.product(MODULES, ["SIGINT", "SIGTERM"], ["BaseException", "ZeroDivisionError"]),
    ),
)
def test_a_signal_while_modules_are_imported_is_one_line_even_if_they_swallow_it(module, which, caught, tmp_path):
    code = 128 + signal.Signals[which]
    script = SWALLOWED.format(module=module, signal=which, caught=caught)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "run")], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (code, f"espo: interrupted by {which}\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the size of files")
def test_a_disk_that_takes_nothing_at_the_start_is_one_line(tmp_path):
    """The limit stands for a full disk: chex, when it is imported, asks for a folder for temporary files."""
    script = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
from espo_jax import cli
sys.exit(cli.main(["train", "--run-dir", sys.argv[1]]))
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "run")], capture_output=True, text=True)
    assert done.returncode == 4
    assert done.stderr.startswith("espo: error: cannot start: [Errno 2] No usable temporary directory found in ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


HELP = """
import sys
from espo_jax.cli import main
import espo_jax
try:
    main(["--help"])
except SystemExit:
    print({"jax", "brax", "mujoco", "matplotlib", "flax", "optax", "gymnasium"} & set(sys.modules))
"""


def test_the_help_imports_nothing_heavy():
    printed = subprocess.run([sys.executable, "-c", HELP], check=True, capture_output=True, text=True).stdout
    assert printed.endswith("set()\n")
    assert all(name in printed for name in ("train", "export-lane", "--allow-code"))


def test_the_package_is_the_command():
    printed = subprocess.run(
        [sys.executable, "-m", "espo_jax", "--version"], check=True, capture_output=True, text=True
    )
    assert printed.stdout.startswith("espo_jax ")
