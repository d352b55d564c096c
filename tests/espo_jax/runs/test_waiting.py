"""Long work in a thread: its result, its errors, and a signal that ends the waiting at once."""

import signal
import threading
import time

import jax
import pytest
from rich.console import Console

from espo_jax.runs import waiting
from espo_jax.runs.signals import Interrupted, finish_first
from espo_jax.runs.waiting import is_abandoned, wait_for
from tests.tiny_runs import Quiet


def test_results_and_errors_come_through():
    assert wait_for(lambda: threading.current_thread().name, Quiet(), "") == "espo-work"
    with pytest.raises(ZeroDivisionError):
        wait_for(lambda: 1 / 0, Quiet(), "")
    assert not is_abandoned()


def test_settings_of_jax_are_those_of_the_caller():
    with jax.enable_x64(True):
        assert wait_for(lambda: jax.numpy.ones(()).dtype, Quiet(), "") == "float64"
    assert wait_for(lambda: jax.numpy.ones(()).dtype, Quiet(), "") == "float32"


def test_another_thread_calls_directly():
    names = []
    thread = threading.Thread(
        target=lambda: names.append(wait_for(lambda: threading.current_thread().name, Quiet(), "")), name="mine"
    )
    thread.start()
    thread.join()
    assert names == ["mine"]


def test_a_signal_ends_the_waiting_at_once(monkeypatch):
    monkeypatch.setattr(waiting, "_threads", [])
    release = threading.Event()
    timer = threading.Timer(0.3, lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT))
    timer.start()
    begin = time.monotonic()
    with pytest.raises(Interrupted), finish_first():
        wait_for(lambda: release.wait(60), Quiet(), "compiling")
    assert time.monotonic() - begin < 30
    assert is_abandoned()
    release.set()
    waiting._threads[0].join()
    assert not is_abandoned()


def test_a_terminal_shows_how_long_it_takes():
    console = Console(force_terminal=True, width=60, record=True)
    with console.capture() as shown:
        wait_for(lambda: time.sleep(0.5), console, "compiling")
    assert "compiling" in shown.get()
    assert "0:00:0" in shown.get()
