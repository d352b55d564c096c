"""What commands print. Lost output never ends a run, and text from files and users cannot steer a terminal."""

import contextlib
import os
import sys
import unicodedata
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

import rich.console
from rich.text import Text

from espo_jax.runs import narrow

_MOST_CHARACTERS = 2000  # of a text; a name from a file can have any length
_SPELLED = str.maketrans({"±": "+-", "∞": "inf"})  # for terminals that have ASCII only


class Console(rich.console.Console):
    """A console of rich that shows strings as they are: without markup, emoji codes and control characters."""

    def __init__(self, **options: Any):
        """Write to the standard output that there is when something is printed."""
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print; a table that is too wide is turned on its side."""
        super().print(*(narrow.fitted(each, self) for each in objects), **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Every string that rich prints, in a table too, comes through here."""
        return super().render_str(clean(text), **options)


class GuardedStream:
    """A text stream that never raises: after its first error it drops what it gets.

    Attributes:
      failure: why output was lost; None as long as none was.
    """

    def __init__(self, stream: TextIO | None):
        """Guard a stream; None stands for one that was closed before the process began."""
        self.failure = None if stream else "it was closed"
        self._stream = stream or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open until the process ends

    def write(self, text: str) -> int:
        """Write text; characters that the encoding lacks are spelled out."""
        self._attempt(lambda: self._stream.write(_encodable(text, self._stream.encoding or "utf-8")))
        return len(text)

    def flush(self) -> None:
        """Flush."""
        self._attempt(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        """Everything else is the stream's."""
        return getattr(self._stream, name)

    def _attempt(self, action: Any) -> None:
        try:
            if not self.failure:
                action()
        except (OSError, ValueError) as error:  # a closed stream is a ValueError
            self.failure = getattr(error, "strerror", None) or str(error)
            with contextlib.suppress(OSError, ValueError):  # or Python's last flush fails with what is in the buffer
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self._stream.fileno())
                os.close(null)


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Within this context printing never raises, and a warning, or an error that Python cannot raise, is one line."""
    _occupy_standard_descriptors()
    plain, hook = (sys.stdout, sys.stderr), sys.unraisablehook
    sys.stdout, sys.stderr = guards = GuardedStream(plain[0]), GuardedStream(plain[1])
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: warn(str(message))
            sys.unraisablehook = _report_unraisable
            yield
    finally:
        sys.unraisablehook = hook
        for guard in guards:
            guard.flush()
        sys.stdout, sys.stderr = plain


def lost() -> str | None:
    """Why standard output or standard error could not be written, for result.json; None if all was written."""
    streams = {"standard output": sys.stdout, "standard error": sys.stderr}
    failures = {name: getattr(stream, "failure", None) for name, stream in streams.items()}
    return "; ".join(f"{name}: {why}" for name, why in failures.items() if why) or None


def say(message: str) -> None:
    """Print a message of a command, as one line on standard error."""
    line = " ".join(part.strip() for part in message.split("\n"))
    print(f"espo: {clean(line)}", file=sys.stderr)


def warn(message: str) -> None:
    """Print a warning, as one line on standard error."""
    say(f"warning: {message}")


def show(text: Any) -> None:
    """Print a line that is the result of a command on standard output."""
    print(clean(str(text)), flush=True)


def clean(text: str) -> str:
    r"""The text with escapes, such as \x1b, in place of all characters but newlines that do not print.

    Every text that comes from a file, a path or the command line goes through here before it is printed. The middle of
    a very long one is left out.
    """
    if len(text) > _MOST_CHARACTERS:
        text = f"{text[: _MOST_CHARACTERS // 2]} [...] {text[-_MOST_CHARACTERS // 2 :]}"
    if text.isprintable():
        return text
    return "".join(c if _prints(c) else c.encode("unicode_escape").decode() for c in text)


def _report_unraisable(error: Any) -> None:
    # After a save that failed, and that `Checkpoints` reports, threads of TensorStore still call orbax's closed loop.
    if str(error.exc_value) != "Event loop is closed":
        warn(f"{error.exc_type.__name__}: {error.exc_value}")


def _prints(c: str) -> bool:
    return c == "\n" or c.isprintable() or unicodedata.category(c) == "Zs"  # such as the space of Japanese


def _encodable(text: str, encoding: str) -> str:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_SPELLED).encode(encoding, "backslashreplace").decode(encoding)
    return text


def _occupy_standard_descriptors() -> None:
    """Open those of the descriptors 0, 1 and 2 that are closed, or a file of the run becomes standard output."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
