"""Ctrl-C and SIGTERM (preemption): the iteration is finished and saved before the run stops."""

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether a run should stop; it is checked between iterations.

    Attributes:
      received: the signal that came; None if no signal came.
    """

    received: signal.Signals | None = None

    @property
    def name(self) -> str:
        """Name of the signal, for messages; SIGINT if a KeyboardInterrupt came without one."""
        return self.received.name if self.received else "SIGINT"

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal came."""
        if self.received is not None:
            raise KeyboardInterrupt


@contextlib.contextmanager
def finish_first() -> Iterator[Stop]:
    """Within this context the first signal is recorded in the yielded object; the second one ends the process."""
    stop = Stop()
    before: dict[signal.Signals, Any] = {}

    def note(number: int, frame: object) -> None:
        del frame
        stop.received = signal.Signals(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    for each in SIGNALS:
        before[each] = signal.signal(each, note)
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
