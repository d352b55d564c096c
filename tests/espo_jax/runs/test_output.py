"""Printing never raises, and no text from a file or a path steers a terminal."""

import io
import os
import subprocess
import sys
import warnings

import pytest
from rich.table import Table

from espo_jax.runs import output

HOSTILE = {
    "x[/b]": "x[/b]",
    "hopper[v2]": "hopper[v2]",
    ":smile:": ":smile:",
    "\x1b[2Jgone": r"\x1b[2Jgone",
    "a\rb\x08\x07": r"a\rb\x08\x07",
    "\ud800": r"\ud800",
    "\u202eabc": r"\u202eabc",
    "two\nlines": "two\nlines",
    "Zürich 速度": "Zürich 速度",
}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_shown_as_it_is_and_what_does_not_print_as_an_escape(text):
    assert output.clean(text) == HOSTILE[text]
    file = io.StringIO()
    console = output.Console(file=file, width=80)
    console.print(text)
    table = Table(title=text)
    table.add_column(text)
    table.add_row(text)
    console.print(table)
    printed = file.getvalue()
    first = HOSTILE[text].splitlines()[0]
    assert printed.count(first) == 4, "once alone, and as title, head and cell of the table"
    assert "\x1b" not in printed
    printed.encode()


def test_a_message_is_one_line_of_bounded_length(capsys):
    output.say("a\n   b \x1b[31m" + "x" * 100_000 + "the end")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(r"espo: a b \x1b[31mxxx")
    assert " [...] x" in line
    assert line.endswith("the end")
    assert len(line) < 2100


class Failing(io.StringIO):
    encoding = "utf-8"

    def write(self, text):
        raise OSError(28, "No space left on device")


def test_a_stream_that_fails_is_not_written_again():
    stream = output.GuardedStream(Failing())
    assert stream.write("abc") == 3
    assert stream.failure == "No space left on device"
    stream.write("more")
    stream.flush()


def test_what_was_closed_before_the_process_began_is_a_loss():
    stream = output.GuardedStream(None)
    stream.write("abc")
    stream.flush()
    assert stream.failure == "it was closed"
    assert not stream.isatty()


def test_a_terminal_of_ascii_gets_it_spelled_out():
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    stream = output.GuardedStream(file)
    stream.write("1 ± ∞ ü")
    stream.flush()
    assert file.buffer.getvalue() == rb"1 +- inf \xfc"
    assert stream.failure is None


def test_a_warning_is_one_line(capsys):
    with output.guarded():
        warnings.simplefilter("always")
        warnings.warn("line 3 of \x1b", stacklevel=1)
        assert output.lost() is None
    assert capsys.readouterr().err == "espo: warning: line 3 of \\x1b\n"


class FailsAtItsEnd:
    """An object whose end raises an error, which Python cannot pass on."""

    def __init__(self, error):
        self.error = error

    def __del__(self):
        raise self.error


def test_an_error_that_cannot_be_raised_is_one_line(capsys):
    with output.guarded():
        FailsAtItsEnd(OSError("line 3 of \x1b"))
        FailsAtItsEnd(RuntimeError("Event loop is closed"))
    assert capsys.readouterr().err == "espo: warning: OSError: line 3 of \\x1b\n"


SCRIPT = """
import os, sys
from espo_jax.runs import output
with output.guarded():
    for number in range(3):
        print("x" * 100_000, flush=True)
        output.say("message")
    lost = output.lost()
    with open(sys.argv[1], "w") as file:
        print(lost, file.fileno(), file=file)
"""


@pytest.mark.parametrize(
    ("redirection", "loss"),
    [
        ("| head -c 5", "standard output: Broken pipe"),
        ("> /dev/full", "standard output: No space left on device"),
        (">&-", "standard output: it was closed"),
        ("2>&-", "standard error: it was closed"),
        ("> /dev/full 2> /dev/full", "standard output: No space left on device; standard error: No space left"),
        (">&- 2>&- <&-", "standard output: it was closed; standard error: it was closed"),
    ],
)
def test_output_that_goes_nowhere_is_noted_and_ends_nothing(redirection, loss, tmp_path):
    """No file gets the number of a closed standard stream, into which libraries of C may write."""
    command = f'set -o pipefail; "$PYTHON" -c "$SCRIPT" "$NOTE" {redirection}'
    note = tmp_path / "note"
    environment = {**os.environ, "PYTHON": sys.executable, "SCRIPT": SCRIPT, "NOTE": str(note)}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said, descriptor = note.read_text().rsplit(maxsplit=1)
    assert said.startswith(loss)
    assert int(descriptor) > 2
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_terminal_that_closes_ends_nothing(tmp_path):
    pty = pytest.importorskip("pty")
    master, terminal = pty.openpty()
    note = tmp_path / "note"
    script = "import time\ntime.sleep(1)\n" + SCRIPT
    process = subprocess.Popen([sys.executable, "-c", script, str(note)], stdout=terminal, stderr=terminal)
    os.close(terminal)
    os.close(master)
    assert process.wait() == 0
    assert note.read_text().startswith("standard output: Input/output error; standard error: Input/output error")
