"""What SLURM says of jobs."""

import subprocess
from collections.abc import Iterable, Iterator

FORGOTTEN = "SLURM does not know it any more"
# A job in any other state is in the queue, or will be again.
ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
    "PREEMPTED", "REVOKED", "TIMEOUT", FORGOTTEN,
}  # fmt: skip


def states_of(jobs: Iterable[str]) -> dict[str, str]:
    """States of some jobs by name; SLURM forgets a job some minutes after its end, its accounting keeps it.

    Raises:
      ValueError: SLURM does not answer.
    """
    asked = list(jobs)
    if not asked:
        return {}
    ids = ",".join(dict.fromkeys(map(array_of, asked)))
    squeue = _output("squeue", "--noheader", "--array", "--states=all", "--format=%i|%T", f"--jobs={ids}")
    if squeue.returncode and "Invalid job id" not in squeue.stderr:
        raise ValueError(f"squeue does not say how the jobs stand: {one_line(squeue.stderr)}")
    known = dict(_states(squeue.stdout))
    if any(job not in known for job in asked):
        sacct = _output("sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID,State", f"--jobs={ids}")
        known = dict(_states(sacct.stdout)) | known
    return {job: known.get(job, FORGOTTEN) for job in asked}


def array_of(job: str) -> str:
    """Name of the array that a job belongs to; a job that belongs to none is its own."""
    return job.partition("_")[0]


def one_line(text: str) -> str:
    """The beginning of a message on one line."""
    return " ".join(text.split())[:300]


def _output(*command: str) -> subprocess.CompletedProcess:
    """What a command prints; one that is missing prints nothing."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))


def _states(text: str) -> Iterator[tuple[str, str]]:
    """Name and state of each job in a table; CANCELLED may be followed by who did it."""
    for line in text.splitlines():
        job, _, state = line.strip().partition("|")
        if job and state:
            yield job, state.split()[0]
