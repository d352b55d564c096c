"""The options of a sweep, and its axes from them."""

import dataclasses
import re
from collections.abc import Sequence

from espo_jax.settings import check_settings, documented, setting, shown
from espo_jax.sweeps import hosts
from espo_jax.sweeps.axes import Axis, Range, grid, parse_seeds, parse_values, random, zipped

# Options of a run that a sweep does not have: each lane has its own, or they are for the files of a single run.
NOT_OF_A_SWEEP = ("log", "run_dir", "seed", "eval_interval", "devices")
LAUNCHERS = {"local": "this process", "slurm": "jobs of SLURM, one for each group"}
_FLAG = re.compile(r"[a-z][a-z0-9-]*")
_OWN_FLAGS = {  # flag of sbatch -> where to say it
    **{name: f": give slurm_{name}" for name in ("partition", "account", "time", "mem")},
    **dict.fromkeys(("gpus", "gpus-per-node"), ": give slurm_gpus"),
    "cpus-per-task": ": give slurm_cpus",
    **dict.fromkeys(
        ("array", "error", "nodes", "ntasks", "ntasks-per-node", "open-mode", "output", "requeue", "signal"), ""
    ),
    "no-requeue": "",
}


@documented
@dataclasses.dataclass(frozen=True)
class SweepOptions:
    """What varies in a sweep, and how it runs.

    Raises:
      ValueError: naming the field, its value and what is allowed.
    """

    grid: tuple[str, ...] = setting(
        (),
        "axis name=value,value,...; every combination of the axes runs; a value for several constraints joins its "
        "numbers by colons",
        repeated=True,
    )
    zip: tuple[str, ...] = setting(
        (), "axis name=value,value,... that varies together with the other axes of --zip", repeated=True
    )
    range: tuple[str, ...] = setting(
        (), "range name=low:high:log or name=low:high:linear from which --random draws", repeated=True
    )
    random: int | None = setting(None, "number of random draws from the ranges, all together", none="no random axis")
    random_seed: int = setting(0, "seed of the random draws", range="[0, 2^31)")
    seeds: str = setting("0", "seeds of every combination, such as 0-9 or 0,3,5-7")
    sweep_dir: str | None = setting(
        None, "folder of the sweep; one that exists goes on, and runs what is new in it", none="a new one in runs/"
    )
    pack_size: int | None = setting(
        None,
        "number of lanes that are vmapped",
        none="1 on a CPU; on an accelerator as many as fill it and fit into its memory",
    )
    lanes_per_group: int | None = setting(
        None,
        "the largest number of lanes that are trained and saved together",
        none="64 packs for each device, if they fit into memory",
    )
    dry_run: bool = setting(
        False, "compile and time each program, print lanes, packs, memory and time, and write nothing"
    )
    distributed: str | None = setting(
        None,
        "how several processes at this sweep find each other by jax.distributed: auto on SLURM and TPU pods, or "
        "address:port,count,index, such as 10.0.0.1:1234,2,0",
        none="this process needs no other",
    )
    launcher: str = setting("local", "what runs the groups of lanes", choices=LAUNCHERS)
    wait: bool = setting(
        False, "with --launcher slurm: wait until every job has ended; Ctrl-C ends the waiting and leaves the jobs"
    )
    slurm_partition: str | None = setting(None, "partition of the jobs", none="that of the cluster")
    slurm_account: str | None = setting(None, "account of the jobs", none="that of the user")
    slurm_time: int = setting(
        60, "time limit of a job in minutes, after which it is requeued and goes on", range="[1, 2^31)"
    )
    slurm_gpus: int | None = setting(None, "number of GPUs of a job", none="none")
    slurm_cpus: int | None = setting(None, "number of CPUs of a job", none="as the cluster is set")
    slurm_mem: float | None = setting(None, "memory of a job in GB", range="(0, 2^20]", none="as the cluster is set")
    slurm_jobs: int | None = setting(None, "the largest number of jobs that run at once", none="256")
    slurm_grace: int = setting(
        120,
        "number of seconds in which a job that is to be requeued may end its iteration and save; after that it is "
        "requeued from its newest checkpoint",
    )
    slurm_set: tuple[str, ...] = setting(
        (), "another flag of sbatch, name=value or name, such as qos=high or exclusive", repeated=True
    )
    best: bool = setting(False, "name the best lane of --sweep-dir that is safe, and run nothing")

    def __post_init__(self) -> None:
        """Check every field."""
        check_settings(self)
        if self.distributed is not None:
            hosts.check(self.distributed)
        self.axes()
        parse_seeds(self.seeds)
        self.slurm_flags()
        if self.launcher == "slurm" and self.distributed is not None:
            raise ValueError("distributed introduces processes that were started; launcher slurm starts them: give one")

    def axes(self) -> list[Axis]:
        """The axes: those of the grid, the zipped one, the random one.

        Raises:
          ValueError: an axis or a range is not usable.
        """
        found = grid(**_by_name("grid", [parse_values(text) for text in self.grid]))
        if self.zip:
            found.append(zipped(**_by_name("zip", [parse_values(text) for text in self.zip])))
        if bool(self.range) != (self.random is not None):
            lacking = "random, the number of draws" if self.range else "range, what to draw from"
            raise ValueError(f"random and range need each other: give --{lacking}")
        if self.random is not None:
            parts = [text.partition("=") for text in self.range]
            ranges = [(name.strip().replace("-", "_"), Range.parse(name, text)) for name, _, text in parts]
            found.append(random(self.random, self.random_seed, **_by_name("range", ranges)))
        return found

    def slurm_flags(self) -> dict[str, str | bool]:
        """Name of a further flag of sbatch -> its value; True where it has none.

        Raises:
          ValueError: a flag is not usable, or decided by espo.
        """
        found: dict[str, str | bool] = {}
        for text in self.slurm_set:
            name, equals, value = text.partition("=")
            if not _FLAG.fullmatch(name) or not text.isprintable() or (equals and not value):
                raise ValueError(f"slurm_set is {shown(text)}: it must be name=value or name, as a flag of sbatch")
            if name in _OWN_FLAGS:
                raise ValueError(f"slurm_set is {shown(text)}: espo decides {name}{_OWN_FLAGS[name]}")
            found[name] = value if equals else True
        return found


def _by_name(what: str, pairs: Sequence[tuple]) -> dict:
    """The pairs as a dictionary.

    Raises:
      ValueError: a name is there twice.
    """
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"{what} names {next(name for name in names if names.count(name) > 1)} twice")
    return dict(pairs)
