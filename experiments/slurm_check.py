"""Run a sweep on a SLURM of this machine, disturb a job of it in each way that clusters do, and compare.

    apt-get install slurm-wlm munge
    python experiments/slurm_check.py
    python experiments/slurm_check.py --time-limit 4

As root: a controller and two node daemons are started with a configuration of their own. One job is killed with -9,
one is requeued by SLURM, one loses its node, and one gets the signal that comes before a time limit or a preemption.
Then the same command is given again. With a time limit the jobs are left to it instead. The table of lanes and the
metrics of all lanes must be those of a sweep that was left alone, to the bit, but for the time that they took.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import tyro
from sweep_kills import compare

from espo_jax.sweeps import columns
from espo_jax.sweeps.folder import SweepFolder
from espo_jax.sweeps.slurm_queue import ENDED

CONFIG = """
ClusterName=check
SlurmctldHost=localhost
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SlurmdTimeout=10
KillWait=10
MinJobAge=3600
NodeName=node[1-2] NodeHostname=localhost NodeAddr=127.0.0.1 Port={first}-{last} CPUs=1 RealMemory=4000
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class Args:
    """Disturb a sweep on SLURM.

    Attributes:
      port: the first of three ports of this machine.
      iterations: number of iterations of a group after which its job is disturbed.
      time_limit: time limit of the jobs in minutes, too short for their groups; None disturbs them in the other ways.
      flags: flags of the sweep; without a time limit it needs four groups.
    """

    port: int = 17200
    iterations: int = 10
    time_limit: int | None = None
    flags: str = (
        "--task safety_reacher --backend spring --num-envs 4 --base-sample-size 800 --num-iterations 300 "
        "--warmup-iterations 5 --grid cost_limit=20,40 --seeds 0-3 --lanes-per-group 2 --num-eval-episodes 2 "
        "--checkpoint-iterations 5"
    )


class Cluster:
    """A SLURM with two nodes on this machine; its daemons end with the context."""

    def __init__(self, folder: Path, port: int):
        """Write the configuration."""
        self.folder, self._daemons = folder, {}
        folder.mkdir()
        (folder / "state").mkdir()
        config = CONFIG.format(folder=folder, port=port, first=port + 1, last=port + 2)
        (folder / "slurm.conf").write_text(config)
        key = folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        os.environ["SLURM_CONF"] = str(folder / "slurm.conf")

    def __enter__(self) -> "Cluster":
        path = self.folder
        self._start("munged", "--foreground", "--force", f"--key-file={path}/munge.key",
            f"--socket={path}/munge.socket", f"--pid-file={path}/munged.pid", f"--seed-file={path}/munge.seed",
            f"--log-file={path}/munged.log")  # fmt: skip
        self._start("slurmctld", "-D")
        for node in ("node1", "node2"):
            self.start_node(node)
        wait_until(lambda: sinfo().count("idle") == 2, "two idle nodes")
        return self

    def __exit__(self, *error: object) -> None:
        subprocess.run(["scancel", "--user=root"], check=False)
        with contextlib.suppress(SystemExit):
            wait_until(lambda: all(job[1] in ENDED for job in jobs().values()), "the end of all jobs", 30)
        for daemon in reversed(self._daemons.values()):
            daemon.terminate()

    def start_node(self, node: str) -> None:
        """Start the daemon of a node."""
        (self.folder / f"spool-{node}").mkdir(exist_ok=True)
        self._start("slurmd", "-D", "-N", node, name=node)

    def lose_node(self, node: str, job: str) -> None:
        """End the daemon of a node and all processes of its job at once, as if its power had failed."""
        self._daemons[node].kill()
        for pid in processes(job):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _start(self, *command: str, name: str = "") -> None:
        self._daemons[name or command[0]] = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(2)


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def sinfo() -> str:
    command = ["sinfo", "--noheader", "--Node", "--format=%N %T"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 900) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.5)


def jobs() -> dict[str, list[str]]:
    """Name of a job -> its number, state and node."""
    command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%A|%T|%N"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return {line.split("|")[0]: line.split("|")[1:] for line in lines}


def processes(job: str) -> Iterator[int]:
    """The processes of a job and of its steps' managers."""
    number = jobs()[job][0]
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_text()
            if f"SLURM_JOB_ID={number}\0" in (folder / "environ").read_text() or f"slurmstepd: [{number}." in words:
                yield int(folder.name)


def kill(job: str) -> None:
    """Kill the process that trains, as the system does where memory is short."""
    for pid in processes(job):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            if "submitit.core._submit" in words and not words[0].endswith("srun"):
                say(f"kill -9 {pid}")
                os.kill(pid, signal.SIGKILL)


def show(text: str) -> None:
    """Print text without warnings and, after the first one of a process, without lines of progress."""
    is_first = True
    for line in text.splitlines():
        is_progress = "| iteration" in line
        is_twice = line.startswith(("INFO:submitit", "WARNING:submitit"))
        if "arning:" not in line and not is_twice and (is_first or not is_progress):
            print(f"    {line.rstrip()}", flush=True)
        is_first = not is_progress and (is_first or "compiled in" in line or "training goes on" in line)


def run(*command: str) -> None:
    say(f"$ {' '.join(command)}")
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    show(result.stdout + result.stderr)


def sweep(args: Args, path: Path, *more: str) -> None:
    say(f"$ espo sweep ... {' '.join(more)}")
    command = [sys.executable, "-m", "espo_jax.cli", "sweep", *args.flags.split(), "--sweep-dir", str(path), *more]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    show(result.stdout + result.stderr)
    print(f"    exit code {result.returncode}", flush=True)


def iterations(path: Path, group: int) -> int:
    folder = SweepFolder.open(path)
    return sum(row["iterations"] for row in folder.group_rows(folder.manifest.groups[group])) // 2


def disturb(args: Args, cluster: Cluster, path: Path, array: str) -> None:
    """Disturb the job of each group once, when it has trained for some iterations."""
    for index, what in enumerate(("killed with -9", "requeued", "signalled", "without its node")):
        job = f"{array}_{index}"
        wait_until(lambda index=index: iterations(path, index) >= args.iterations, f"iterations of {job}")
        node = jobs()[job][2]
        say(f"job {job} on {node} has saved {iterations(path, index)} iterations; it is {what}")
        if index == 0:
            kill(job)
        elif index == 1:
            run("scontrol", "requeue", job)
        elif index == 2:
            run("scancel", "--signal=USR2", job)
        else:
            cluster.lose_node(node, job)
            wait_until(lambda node=node: f"{node} down" in sinfo(), "a node that is down")
            say(sinfo().replace("\n", "; "))
            wait_until(lambda job=job, node=node: jobs()[job][2] not in ("", node), "the job on the other node")
            say(f"job {job} is {jobs()[job][1]} on {jobs()[job][2]}")
            cluster.start_node(node)
        time.sleep(5)
        run("squeue", "--array", "--states=all", "--format=%i %T %N %r", f"--jobs={array}")


def main(args: Args) -> None:
    with tempfile.TemporaryDirectory() as folder:
        alone, other = Path(folder) / "alone", Path(folder) / "slurm"
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{folder}/compiled")
        sweep(args, alone)
        with Cluster(Path(folder) / "cluster", args.port) as cluster:
            run("sinfo", "--version")
            run("sinfo", "--Node")
            # The signal comes 65 s before the limit.
            slurm = ("--launcher", "slurm", "--slurm-time", str(args.time_limit or 30), "--slurm-grace", "5")
            if args.time_limit is None:
                sweep(args, other, *slurm)
                sweep(args, other, *slurm)
                array = next(iter(jobs())).partition("_")[0]
                disturb(args, cluster, other, array)
                wait_until(lambda: all(job[1] in ENDED for job in jobs().values()), "the end of all jobs")
                run("squeue", "--array", "--states=all", "--format=%i %T %N", f"--jobs={array}")
            sweep(args, other, *slurm, "--wait")
            for path in sorted((other / "slurm").glob("*.out")):
                say(path.name)
                show(path.read_text())
        check(alone, other)


def check(alone: Path, other: Path) -> None:
    compare(alone, other)
    tables = [columns.read([path / "lanes.parquet"]).drop_columns(["seconds"]) for path in (alone, other)]
    if not tables[0].equals(tables[1]):
        raise SystemExit("lanes.parquet differs")
    say("lanes.parquet: all columns but seconds are the same to the bit")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the daemons end too
    main(tyro.cli(Args))
