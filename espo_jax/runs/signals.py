"""Ctrl-C, SIGTERM (preemption) and SIGHUP (a lost connection): a run ends its iteration and saves before it stops."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupted(KeyboardInterrupt):
    """A signal asks the process to stop.

    Attributes:
      signal: the signal.
    """

    def __init__(self, received: signal.Signals):
        """Name the signal."""
        super().__init__(f"interrupted by {received.name}")
        self.signal = received


class Stop:
    """Whether a run should stop.

    Attributes:
      received: the first signal that came; None if no signal came.
      at_once: whether a signal raises Interrupted where it comes. Where that could break a file it is False, and the
        signal waits for the next `check`.
    """

    received: signal.Signals | None = None
    at_once: bool = True

    def check(self) -> None:
        """Raise Interrupted if a signal came."""
        if self.received is not None:
            raise Interrupted(self.received)


_outer: list[Stop] = []


@contextlib.contextmanager
def finish_first() -> Iterator[Stop]:
    """Within this context the first signal is recorded in the yielded object; a second one ends the process.

    A second SIGHUP does not, since a terminal that closes sends several. A signal that is ignored, as SIGHUP after
    nohup, stays ignored. Within another such context the object is that of the outer one. In another thread than the
    main one nothing is recorded, since Python has no handlers there.
    """
    if _outer:
        yield _outer[-1]
        return
    stop = Stop()
    before: dict[signal.Signals, Any] = {}

    def note(number: int, frame: object) -> None:
        del frame
        if stop.received is not None:
            return
        stop.received = signal.Signals(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if stop.at_once:
            stop.check()

    for each in SIGNALS if threading.current_thread() is threading.main_thread() else ():
        if signal.getsignal(each) is not signal.SIG_IGN:
            before[each] = signal.signal(each, note)
    _outer.append(stop)
    try:
        yield stop
    finally:
        _outer.remove(stop)
        for each, handler in before.items():
            signal.signal(each, handler)
