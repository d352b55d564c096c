"""A job of SLURM: signals, the hook of submitit, and how it goes on."""

import signal
import threading
import types

import pytest
from submitit.core.job_environment import SignalHandler
from submitit.core.utils import JobPaths, UncompletedJobError
from submitit.helpers import DelayedSubmission

from espo_jax.runs.place import BusyError
from espo_jax.sweeps import slurm_job, sweep
from espo_jax.sweeps.folder import SweepFolder
from espo_jax.sweeps.group_run import GroupRun
from espo_jax.sweeps.slurm_job import GroupJob
from tests.tiny_sweeps import compile_once, limits, make_env, rows, swept


class Submitit:
    """Calls jobs as submitit does in a job of SLURM, with its own handler of signals."""

    def __init__(self, path):
        path.mkdir()
        self.paths = JobPaths(path, job_id="1")
        self.requeued = threading.Event()
        self.threads = []

    def call(self, delayed):
        delayed.set_timeout(60, 10)
        environment = types.SimpleNamespace(global_rank=0, _requeue=self._requeue)
        before = signal.signal(
            signal.SIGUSR2, SignalHandler(environment, self.paths, delayed).checkpoint_and_try_requeue
        )
        try:
            return delayed.result()
        finally:
            signal.signal(signal.SIGUSR2, before)

    def again(self):
        return self.call(DelayedSubmission.load(self.paths.submitted_pickle))

    def _requeue(self, countdown):
        self.threads.append(threading.current_thread())
        self.requeued.set()


@pytest.fixture
def submitit(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "compile_program", compile_once)
    monkeypatch.setattr(slurm_job, "named_env", make_env)
    return Submitit(tmp_path / "submitit")


@pytest.fixture
def folder(tmp_path):
    return SweepFolder.plan(tmp_path / "sweep", limits(), lanes_per_group=3)


def job(folder, group=0, grace=60, **fields):
    return GroupJob(str(folder.path), f"group-000{group}", None, grace, **fields)


def after_turns(monkeypatch, count, do):
    """Do something in an iteration."""
    take, turns = GroupRun.turn, []

    def turn(self):
        turns.append(self)
        if len(turns) == count:
            do()
        return take(self)

    monkeypatch.setattr(GroupRun, "turn", turn)


def statuses(folder):
    return [row["status"] for row in folder.rows()]


@pytest.mark.parametrize("turn", [1, 2, 4])
def test_the_signal_before_the_end_saves_requeues_and_goes_on_exactly(turn, submitit, folder, monkeypatch, capsys):
    after_turns(monkeypatch, turn, lambda: signal.raise_signal(signal.SIGUSR2))
    with pytest.raises(SystemExit):
        submitit.call(DelayedSubmission(job(folder)))
    assert submitit.threads == [threading.main_thread()]
    assert {row["iterations"] for row in folder.rows()[:3]} == {turn}
    assert DelayedSubmission.load(submitit.paths.submitted_pickle).function.iterations == 3 * turn
    assert submitit.again() == "group-0000"
    assert submitit.call(DelayedSubmission(job(folder, 1))) == "group-0001"
    assert rows(folder) == rows(swept())
    assert "all is saved; the job is requeued" in capsys.readouterr().out


def test_sigterm_saves_and_training_goes_on(submitit, folder, monkeypatch, capsys):
    before = signal.getsignal(signal.SIGTERM)
    after_turns(monkeypatch, 2, lambda: signal.raise_signal(signal.SIGTERM))
    saved = []
    after_turns(monkeypatch, 3, lambda: saved.append({row["iterations"] for row in folder.rows()[:3]}))
    for group in (0, 1):
        submitit.call(DelayedSubmission(job(folder, group)))
    assert saved == [{2}]
    assert "interrupted by SIGTERM; all is saved, and training goes on" in capsys.readouterr().out
    assert rows(folder) == rows(swept())
    assert not submitit.requeued.is_set()
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_iteration_that_outlasts_the_time_of_grace_is_not_waited_for(submitit, folder, monkeypatch, capsys):
    def hang():
        signal.raise_signal(signal.SIGUSR2)
        assert submitit.requeued.wait(30)

    after_turns(monkeypatch, 3, hang)
    with pytest.raises(SystemExit):
        submitit.call(DelayedSubmission(job(folder, grace=0)))
    [thread] = submitit.threads
    assert thread is not threading.main_thread()
    assert "longer than the time of grace" in capsys.readouterr().out
    submitit.again()
    submitit.call(DelayedSubmission(job(folder, 1)))
    assert rows(folder) == rows(swept())


def test_a_job_that_comes_to_nothing_is_not_requeued_for_ever(submitit, folder, monkeypatch):
    after_turns(monkeypatch, 1, lambda: signal.raise_signal(signal.SIGUSR2))
    assert job(folder, vain=9).checkpoint().function.vain == 10
    assert job(folder, vain=10).checkpoint() is None
    with pytest.raises(SystemExit):
        submitit.call(DelayedSubmission(job(folder, vain=10)))  # an iteration was saved
    after_turns(monkeypatch, 1, lambda: signal.raise_signal(signal.SIGUSR2))
    with pytest.raises(UncompletedJobError, match="checkpoint function returned None"):
        submitit.call(DelayedSubmission(job(folder, iterations=100, vain=10)))


def test_a_job_waits_for_the_process_before(submitit, folder, monkeypatch):
    held = folder.locked(folder.manifest.groups[1])
    held.__enter__()
    monkeypatch.setattr(slurm_job.time, "sleep", lambda seconds: held.__exit__(None, None, None))
    assert submitit.call(DelayedSubmission(job(folder, 1))) == "group-0001"
    assert statuses(folder) == ["planned", "planned", "planned", "finished"]


def test_a_job_whose_group_stays_busy_fails(submitit, folder, monkeypatch):
    monkeypatch.setattr(slurm_job, "_BUSY_SECONDS", 0.0)
    with folder.locked(folder.manifest.groups[1]), pytest.raises(BusyError, match="in use by another process for ten"):
        submitit.call(DelayedSubmission(job(folder, 1)))


def test_a_job_of_a_group_that_is_done_ends_at_once(submitit, monkeypatch):
    monkeypatch.setattr(slurm_job, "Worker", lambda *args, **options: None)
    assert submitit.call(DelayedSubmission(job(swept()))) == "group-0000"
