"""Jobs of SLURM for the groups of a sweep: which are submitted, how they stand, and which were lost."""

import collections
import importlib
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import jax

from espo_jax import own_code
from espo_jax.environments import named_env
from espo_jax.runs import files
from espo_jax.runs.files import DamagedError
from espo_jax.runs.place import lock
from espo_jax.runs.signals import Stop
from espo_jax.sweeps import table
from espo_jax.sweeps.folder import SweepFolder
from espo_jax.sweeps.manifest import Group
from espo_jax.sweeps.options import SweepOptions
from espo_jax.sweeps.plan import MakeEnv
from espo_jax.sweeps.slurm_job import GroupJob, is_held
from espo_jax.sweeps.slurm_queue import ENDED, array_of, one_line, states_of

FOLDER, JOBS = "slurm", "jobs.json"
_COMMANDS = ("sbatch", "squeue", "srun", "scontrol")
_MOST_TASKS = 1000  # of an array of jobs; SLURM's own default allows 1,001
_NO_LIMIT = 10**9  # requeues after a timeout; `GroupJob.checkpoint` ends those that are in vain
_REQUEUE_SECONDS = 60  # what submitit and SLURM need after the time of grace
_LOOK_SECONDS = 15.0

Note = Callable[[str], None]


def check(options: SweepOptions, backend: str | None, make_env: MakeEnv = named_env) -> None:
    """Refuse what can be seen to fail before anything is planned.

    Args:
      options: options of the sweep.
      backend: the physics that was asked for; None if none was.
      make_env: what makes environments.

    Raises:
      ValueError: a program or a setting is missing, or environments are not made by name.
    """
    if make_env is not named_env:
        raise ValueError("launcher slurm takes tasks by name only: a job cannot call a function of this process")
    try:
        with mock.patch.dict(os.environ, {"SUBMITIT_LOG_LEVEL": "NOCONFIG"}):
            # Its import sets up logging, which closes all handlers there are: absl's closes the standard error.
            importlib.import_module("submitit")
    except ImportError:
        raise ValueError('launcher slurm needs the package submitit: pip install "espo_jax[slurm]"') from None
    if missing := [name for name in _COMMANDS if shutil.which(name) is None]:
        raise ValueError(
            f"launcher slurm needs the command {missing[0]}, which this machine lacks: submit where the cluster has it"
        )
    if 60 * options.slurm_time <= (least := options.slurm_grace + _REQUEUE_SECONDS):
        raise ValueError(
            f"slurm_time is {options.slurm_time} (minutes): it must be more than {least / 60:g}, since a job is "
            f"signalled {least} seconds before its end (slurm_grace and a minute), and would be requeued at once"
        )
    if options.slurm_gpus and jax.default_backend() == "cpu":
        varied = {name for axis in options.axes() for name in axis.names}
        missing = [] if backend or "backend" in varied else ["backend"]
        missing += [] if options.lanes_per_group else ["lanes_per_group"]
        if missing:
            raise ValueError(
                f"{missing[0]} is not given, and its default would be that of this machine, which has no accelerator: "
                f"slurm_gpus needs --{missing[0].replace('_', '-')}"
            )


def parameters(options: SweepOptions) -> dict[str, Any]:
    """What submitit's SlurmExecutor is told about the jobs."""
    flags = options.slurm_flags()
    asked = {
        "partition": options.slurm_partition,
        "account": options.slurm_account,
        "gpus_per_node": options.slurm_gpus,
        "cpus_per_task": options.slurm_cpus,
        "mem": None if options.slurm_mem is None else f"{max(1, round(1024 * options.slurm_mem))}MB",
        "array_parallelism": options.slurm_jobs,
    }
    return {
        **{name: value for name, value in asked.items() if value is not None},
        # Since 22.05 srun does not take this from sbatch.
        "srun_args": [f"--cpus-per-task={options.slurm_cpus}"] if options.slurm_cpus else [],
        "time": options.slurm_time,
        "signal_delay_s": options.slurm_grace + _REQUEUE_SECONDS,
        "stderr_to_stdout": True,
        "job_name": flags.get("job-name", "espo"),
        "additional_parameters": {"requeue": True, **flags},
    }


def submit(folder: SweepFolder, options: SweepOptions, note: Note, stop: Stop) -> None:
    """Submit a job for each group that is not done, that has no job in the queue, and that no process works on.

    Args:
      folder: folder of the sweep.
      options: options of the jobs.
      note: is told what was found and what was submitted, a line at a time.
      stop: from `signals.finish_first`; a signal waits until submitted jobs are written down.

    Raises:
      ValueError: SLURM takes no job, or jobs.json is damaged, or the folder has a name that SLURM changes.
      OSError: the folder cannot be written to, or another process submits at the same time.
    """
    path = folder.path.absolute() / FOLDER
    if "%" in str(path):
        raise ValueError(f"{folder.path} has a percent sign, which SLURM replaces in the names of logs: rename it")
    path.mkdir(exist_ok=True)
    with (path / ".lock").open("ab") as file:
        lock(file, path)
        free = _free_groups(folder, path, note)
        for begin in range(0, len(free), _MOST_TASKS):
            stop.check()
            stop.at_once = False
            names = _submit_array(path, free[begin : begin + _MOST_TASKS], options)
            _write_jobs(path, names)
            stop.at_once = True
            jobs = list(names.values())
            array = array_of(jobs[0])
            span = " to ".join(dict.fromkeys([jobs[0], jobs[-1]]))
            logs = f"{shlex.quote(str(path))}/{array}_*.out"
            note(f"submitted as {span}; look with: squeue --jobs={array}; tail -F {logs}; cancel with: scancel {array}")
        stop.check()


def wait(folder: SweepFolder, note: Note) -> list[str]:
    """Wait until every group is done or has lost its job; returns the names of groups that are not done.

    Args:
      folder: folder of the sweep.
      note: is told how many jobs wait and run, and of every one that is lost.

    Raises:
      DamagedError: jobs.json is damaged.
    """
    path = folder.path.absolute() / FOLDER
    left, seen, lost, said = list(folder.manifest.groups), dict[str, str](), set[str](), ""
    while True:
        jobs = newest(folder)
        left = [group for group in left if not _is_done(folder, group)]
        of_left = {jobs[group.name]: group.name for group in left if group.name in jobs}
        try:
            states = states_of(of_left)
            counts = collections.Counter(state for state in states.values() if state not in ENDED)
            text = ", ".join(
                [f"{len(left):,} groups to go", *(f"{count:,} {state}" for state, count in counts.items())]
            )
        except ValueError as error:  # the controller may be away for a while
            states, text = seen, str(error)
        if text != said:
            note(text)
            said = text
        # What a job has just written may not be seen yet, so that it must have ended before the last look.
        for job, group in of_left.items():
            if states.get(job) in ENDED and seen.get(job) == states[job] and job not in lost:
                lost.add(job)
                note(_lost(path, group, job, states[job]))
        if lost >= set(of_left):
            return [group.name for group in left]
        seen = states
        time.sleep(_LOOK_SECONDS)


def newest(folder: SweepFolder) -> dict[str, str]:
    """Name of a group -> name of the job that was last submitted for it.

    Raises:
      DamagedError: jobs.json is damaged.
    """
    return {each["group"]: each["job"] for each in _read_jobs(folder.path.absolute() / FOLDER)}


def _free_groups(folder: SweepFolder, path: Path, note: Note) -> list[Group]:
    """The groups that nobody has; says how all groups stand, and which jobs were lost."""
    jobs, free, counts = newest(folder), [], collections.Counter[str]()
    waiting = [group for group in folder.manifest.groups if not _is_done(folder, group)]
    states = states_of(jobs[group.name] for group in waiting if group.name in jobs)
    for group in folder.manifest.groups:
        job = jobs.get(group.name)
        if _is_done(folder, group):  # looked at again, since its job may just have ended
            counts["done"] += 1
        elif job and states[job] not in ENDED:
            counts[states[job]] += 1
        elif is_held(folder, group):
            counts["run elsewhere"] += 1
        else:
            free.append(group)
            if job:
                note(_lost(path, group.name, job, states[job]))
    stand = [f"{count:,} {state}" for state, count in counts.items()]
    note(f"{len(folder.manifest.groups):,} groups: {', '.join([*stand, f'{len(free):,} to submit'])}")
    return free


def _submit_array(path: Path, groups: Sequence[Group], options: SweepOptions) -> dict[str, str]:
    """Submit one array of jobs; returns name of a group -> name of its job."""
    submitit = importlib.import_module("submitit")
    utils = importlib.import_module("submitit.core.utils")
    executor = submitit.SlurmExecutor(folder=path, max_num_timeout=_NO_LIMIT)
    executor.update_parameters(**parameters(options))
    sweep, allowed = str(path.parent), own_code.allowed()
    try:
        with executor.batch():
            jobs = [
                executor.submit(GroupJob(sweep, group.name, options.pack_size, options.slurm_grace, allowed=allowed))
                for group in groups
            ]  # fmt: skip
    except (utils.UncompletedJobError, utils.FailedSubmissionError, subprocess.SubprocessError) as error:
        raise ValueError(f"SLURM takes no job: {one_line(str(error))}") from None
    return {group.name: job.job_id for group, job in zip(groups, jobs, strict=True)}


def _read_jobs(path: Path) -> list[dict[str, str]]:
    if not (path / JOBS).exists():
        return []
    jobs = files.read_json(path / JOBS).get("jobs")
    if not isinstance(jobs, list) or not all(isinstance(each, dict) and {"group", "job"} <= set(each) for each in jobs):
        raise DamagedError(f"{path / JOBS} is damaged: it has no list of jobs")
    return jobs


def _write_jobs(path: Path, names: dict[str, str]) -> None:
    """Add submitted jobs to jobs.json."""
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    new = [{"group": group, "job": job, "time": now} for group, job in names.items()]
    files.write_json(path / JOBS, {"jobs": [*_read_jobs(path), *new]})


def _is_done(folder: SweepFolder, group: Group) -> bool:
    return table.is_done(folder.group_rows(group), group)


def _lost(path: Path, group: str, job: str, state: str) -> str:
    return f"job {job} ended before {group} was done: {state}; its log is {path / f'{job}_0_log.out'}"
