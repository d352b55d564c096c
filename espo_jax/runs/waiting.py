"""Long work that no signal can reach, such as compiling: done in a thread, so that the process answers meanwhile."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from espo_jax.runs.output import Console

T = TypeVar("T")
_LOOK_SECONDS = 0.2
_threads: list[threading.Thread] = []


def wait_for(work: Callable[[], T], console: Console, text: str) -> T:
    """Call a function; a terminal shows meanwhile for how long.

    A signal whose handler raises ends the waiting at once. The function then goes on in its thread, to no effect;
    `is_abandoned` says so.

    Args:
      work: the function; in another thread than the main one, which no signal reaches, it is called directly.
      console: where to show it.
      text: what it does.

    Raises:
      Interrupted: a signal came.
      Exception: whatever the function raises.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    results: list[T] = []
    errors: list[BaseException] = []
    done = threading.Event()
    is_double = jax.config.read("jax_enable_x64")  # settings of JAX are those of a thread

    def call() -> None:
        try:
            with jax.enable_x64(is_double):
                results.append(work())
        except BaseException as error:
            errors.append(error)
        done.set()

    thread = threading.Thread(target=call, name="espo-work")
    _threads.append(thread)
    thread.start()
    with _elapsed(console, text):
        while not done.wait(_LOOK_SECONDS):  # returns to Python, which then handles signals
            pass
    _threads.remove(thread)
    if errors:
        raise errors[0]
    return results[0]


def is_abandoned() -> bool:
    """Whether a function goes on that nobody waits for: the end of the process would wait for it."""
    return any(thread.is_alive() for thread in _threads)


@contextlib.contextmanager
def _elapsed(console: Any, text: str) -> Iterator[None]:
    """Show a text and the time that has passed, if the console is a terminal."""
    if not console.is_terminal:
        yield
        return
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task(text, total=None)
        yield
