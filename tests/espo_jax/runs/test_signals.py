"""Signals: the first is recorded, the second ends the process, and none is swallowed."""

import contextlib
import os
import signal

import pytest

from espo_jax.runs.signals import SIGNALS, Interrupted, finish_first

ALL = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def send(which):
    os.kill(os.getpid(), which)


@pytest.mark.parametrize("which", ALL)
def test_a_signal_interrupts_at_once_until_files_are_written(which):
    with finish_first() as stop, pytest.raises(Interrupted, match=f"interrupted by {which.name}") as interrupted:
        send(which)
    assert interrupted.value.signal is stop.received is which


@pytest.mark.parametrize("which", ALL)
def test_a_signal_waits_for_the_next_check_where_files_are_written(which):
    with finish_first() as stop:
        stop.at_once = False
        stop.check()
        send(which)
        with pytest.raises(Interrupted):
            stop.check()
    assert stop.received is which


def test_a_signal_that_other_code_swallows_comes_back_at_the_next_check():
    with finish_first() as stop:
        with contextlib.suppress(BaseException):  # as a callback in a library may do
            send(signal.SIGINT)
        with pytest.raises(Interrupted):
            stop.check()


def test_a_second_one_ends_the_process_but_a_terminal_may_hang_up_twice():
    with finish_first() as stop:
        stop.at_once = False
        send(signal.SIGHUP)
        send(signal.SIGHUP)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
    assert stop.received is signal.SIGHUP


def test_nohup_stays_in_force():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with finish_first() as stop:
            send(signal.SIGHUP)
            stop.check()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_handlers_of_before_are_put_back():
    before = [signal.getsignal(each) for each in SIGNALS]
    with finish_first() as stop:
        stop.at_once = False
        send(signal.SIGTERM)
    assert [signal.getsignal(each) for each in SIGNALS] == before
