"""A job of SLURM that trains one group of a sweep: it is requeued before it is killed, and goes on where it was."""

import contextlib
import dataclasses
import functools
import importlib
import signal
import socket
import threading
import time
from typing import Any, NoReturn

from espo_jax import own_code
from espo_jax.environments import named_env
from espo_jax.runs.output import Console
from espo_jax.runs.place import BusyError
from espo_jax.runs.signals import Interrupted, Stop
from espo_jax.sweeps import table
from espo_jax.sweeps.folder import SweepFolder
from espo_jax.sweeps.manifest import Group
from espo_jax.sweeps.progress import Report
from espo_jax.sweeps.sweep import Worker

REQUEUE, END = signal.SIGUSR2, signal.SIGTERM  # submitit asks SLURM for the first one; the second is SLURM's own
_MOST_VAIN = 10  # requeues without an iteration in between, after which a job fails
_BUSY_SECONDS, _LOOK_SECONDS = 600.0, 2.0
_WIDTH = 140  # columns of the log


@dataclasses.dataclass(frozen=True)
class GroupJob:
    """What submitit pickles, and calls in the job: names and numbers only.

    Attributes:
      sweep: absolute path of the sweep's folder.
      group: name of the group.
      pack_size: number of lanes that are vmapped; None leaves it to the device.
      grace: number of seconds in which the iteration may end after the signal that asks for a requeue.
      iterations: number of iterations of all lanes when the job was last requeued.
      vain: number of requeues since then that came before another iteration was saved.
      allowed: modules of the user's own code that the job may import.
    """

    sweep: str
    group: str
    pack_size: int | None
    grace: int
    iterations: int = 0
    vain: int = 0
    allowed: tuple[str, ...] = ()

    def __call__(self) -> str:
        """Train the group to its end; returns its name.

        Raises:
          BusyError: another process has worked on the group for ten minutes.
          ValueError: a file of the sweep is damaged.
          OSError: a file cannot be written.
        """
        for module in self.allowed:
            own_code.allow(module)
        folder, group = self._open()
        stop, report = Stop(), Report(Console(width=_WIDTH), folder.manifest)
        worker = Worker(folder, functools.cache(named_env), report, stop, pack_size=self.pack_size)
        with Signals(stop, self.grace) as signals:
            while not table.is_done(folder.group_rows(group), group):
                try:
                    wait_for(folder, group, report)
                    worker.run([group.name])
                except Interrupted as error:
                    if error.signal == REQUEUE:
                        report.note("all is saved; the job is requeued")
                        signals.requeue()
                    # SLURM will kill the job, or it was sent by hand. Training goes on: a job that ends by itself
                    # before SLURM's time of grace is over counts as ended, and is not requeued.
                    report.note(f"{error}; all is saved, and training goes on until SLURM ends it")
                    stop.received = None
        return self.group

    def checkpoint(self) -> Any:
        """The hook of submitit: what the requeued job calls; None if a requeue would be in vain once more."""
        folder, group = self._open()
        iterations = sum(row["iterations"] for row in folder.group_rows(group))
        vain = 0 if iterations > self.iterations else self.vain + 1
        if vain > _MOST_VAIN:
            print(f"{self.group} was requeued {_MOST_VAIN} times without an iteration: give its job more time")
            return None
        helpers = importlib.import_module("submitit.helpers")
        return helpers.DelayedSubmission(dataclasses.replace(self, iterations=iterations, vain=vain))

    def _open(self) -> tuple[SweepFolder, Group]:
        folder = SweepFolder.open(self.sweep)
        return folder, next(group for group in folder.manifest.groups if group.name == self.group)


def wait_for(folder: SweepFolder, group: Group, report: Report) -> None:
    """Wait until no process works on a group; the process of a job before may take some time to end.

    Raises:
      BusyError: a process works on it for ten minutes.
    """
    end = time.monotonic() + _BUSY_SECONDS
    if is_held(folder, group):
        report.note(f"{group.name} is in use by another process: waiting")
    while is_held(folder, group):
        if time.monotonic() > end:
            raise BusyError(f"{group.name} of {folder.path} has been in use by another process for ten minutes")
        time.sleep(_LOOK_SECONDS)


def is_held(folder: SweepFolder, group: Group) -> bool:
    """Whether a process works on a group."""
    try:
        with folder.locked(group):
            return False
    except BusyError:
        return True


class Signals:
    """Within this context SLURM's signals end the iteration, and all is saved.

    The signal REQUEUE comes before the time limit and, where SLURM is set so, before a preemption. Python sees it only
    when a compiled program returns. If that takes longer than the time of grace, a thread asks for the requeue, and
    the job goes on at its newest checkpoint; the signal comes to the thread through a socket.
    """

    def __init__(self, stop: Stop, grace: float):
        """Change nothing yet.

        Args:
          stop: is told of the first signal; REQUEUE counts for more than END.
          grace: time of grace in seconds.
        """
        self._stop, self._grace = stop, grace
        self._lock, self._is_over, self._is_requeued = threading.Lock(), threading.Event(), False

    def __enter__(self) -> "Signals":
        """Put our handlers in the place of submitit's."""
        self._of_submitit: Any = signal.getsignal(REQUEUE)
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        self._before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._handlers = {each: signal.signal(each, self._note) for each in (REQUEUE, END)}
        return self

    def __exit__(self, *error: object) -> None:
        """Put submitit's handlers back."""
        for each, handler in self._handlers.items():
            signal.signal(each, handler)
        signal.set_wakeup_fd(self._before)
        self._is_over.set()
        self._writer.close()
        self._thread.join()
        self._reader.close()

    def requeue(self) -> NoReturn:
        """Call submitit's handler: it calls the hook, asks SLURM for the requeue, and ends the process.

        Raises:
          SystemExit: the job is requeued.
          UncompletedJobError: the hook refuses.
        """
        with self._lock:  # the thread may be at it
            if not self._is_requeued:
                try:
                    self._of_submitit(REQUEUE, None)
                except SystemExit:
                    self._is_requeued = True
                    raise
        raise SystemExit(-1)

    def _note(self, number: int, frame: object) -> None:
        del frame
        if self._stop.received != REQUEUE:
            self._stop.received = signal.Signals(number)
            if self._stop.at_once and number == REQUEUE:
                self._stop.check()

    def _watch(self) -> None:
        while received := self._reader.recv(1):
            if received[0] == REQUEUE:
                if not self._is_over.wait(self._grace):
                    print("the iteration takes longer than the time of grace: requeued from the newest checkpoint")
                    with contextlib.suppress(SystemExit):  # SLURM ends the process
                        self.requeue()
                return
