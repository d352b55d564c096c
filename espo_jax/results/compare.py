"""Several algorithms on one task at equal iterations, a sweep: the paper's Table 1 and Figure 2 as a command."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from espo_jax import algorithms
from espo_jax.results import group_plots, profile_plots, saferleval, safety_table
from espo_jax.results.compare_table import markdown, summarize_runs
from espo_jax.results.evaluated import UNCONSTRAINED, EvaluatedRun, references_of, summarize_safety
from espo_jax.results.expand import COMPARISON
from espo_jax.results.sweep_read import lane_records
from espo_jax.runs import files, output
from espo_jax.runs.files import DamagedError
from espo_jax.runs.loggers import parse_names
from espo_jax.runs.options import RunOptions
from espo_jax.runs.place import file_name, stamped
from espo_jax.runs.result import FINISHED, INTERRUPTED, NEGATIVE_COST, NONFINITE
from espo_jax.runs.run_directory import RESULT
from espo_jax.settings import documented, setting, settings_of
from espo_jax.sweeps import columns, episodes, sweep
from espo_jax.sweeps.axes import Axis, parse_seeds
from espo_jax.sweeps.export_lane import export_lane
from espo_jax.sweeps.folder import SweepFolder
from espo_jax.sweeps.plan import Lane, MakeEnv, lanes_of, programs_of


@documented
@dataclasses.dataclass(frozen=True)
class CompareOptions(RunOptions):
    """Options of a comparison.

    Raises:
      ValueError: naming the field, its value and what is allowed.
    """

    algorithms: str = setting("espo,crpo,pcrpo", "names of the algorithms, separated by commas")
    seeds: str = setting("3", "number of seeds of each algorithm, or the seeds themselves, such as 0-9 or 0,3")
    pack_size: int | None = setting(
        None, "number of seeds that are vmapped", none="1 on a CPU; on an accelerator as many as fill it"
    )

    def __post_init__(self) -> None:
        """Check every field."""
        super().__post_init__()
        for name in self.names:
            algorithms.require_known(name)
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"algorithms is {self.algorithms!r}: it names one twice")
        if not self.seed_list:
            raise ValueError(f"seeds is {self.seeds!r}: there must be at least one")

    @property
    def names(self) -> list[str]:
        """Names of the algorithms."""
        return [name.strip() for name in self.algorithms.split(",")]

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds."""
        return tuple(range(int(self.seeds))) if self.seeds.isdecimal() else parse_seeds(self.seeds)


PROFILES = "profiles.png"
# Options of a run that a comparison does not have: each lane has its own, or they are for the files of a single run.
NOT_OF_A_COMPARISON = ("algorithm", "seed", "eval_interval", "devices")


def prepare(make_env: MakeEnv, settings: Mapping[str, Any], options: CompareOptions) -> SweepFolder:
    """Check everything that can be checked without compiling, then write the plan; a folder that has it goes on.

    Args:
      make_env: (task, backend, reward, env) -> one instance of the environment, see `named_env`.
      settings: flat fields of Config and Hyperparams that hold for all algorithms; the rest is each one's preset.
      options: options of the comparison.

    Raises:
      ValueError: a setting or the environment is not usable, or the folder has something else.
      OSError: the folder cannot be written to.
    """
    parse_names(options.log)
    path = Path(options.run_dir) if options.run_dir else stamped(f"{options.task}-compare")
    SweepFolder.check(path)
    common = {name: getattr(options, name) for name in settings_of(RunOptions)}
    run_options = RunOptions(**{**common, "run_dir": None, "log": "", "eval_interval": 0})
    axis = Axis(("algorithm",), tuple((name,) for name in options.names))
    lanes = lanes_of(make_env, run_options, settings, [axis], options.seed_list)
    iterations = {int(lane.config.hyperparams["num_iterations"]) for lane in lanes}
    if len(iterations) != 1:
        raise ValueError(f"num_iterations differs between the algorithms ({sorted(iterations)}); give one for all")
    checked = [sweep.check(program, make_env, options.pack_size) for program in programs_of(lanes)]
    return SweepFolder.plan(path, lanes, sweep.lanes_per_group(checked))


def finish(folder: SweepFolder, make_env: MakeEnv, log: str = "", received: Any = None) -> dict[str, Any]:
    """Write what there is of a comparison, and a run directory for every lane.

    The files are comparison.json, table.md, curves.png, profiles.png and the table of runs for SafeRLEval.

    Args:
      folder: its folder.
      make_env: (task, backend, reward, env) -> one instance of the environment, see `named_env`.
      log: loggers that get the metrics of every lane that finished, see `parse_names`.
      received: signal that interrupted it; None for none.

    Returns:
      What comparison.json holds: status, signal, lost_output (why the console could not be written; None if it could),
      rows (one dict per algorithm with a finished lane, see `summarize_runs`, and its safety, see `summarize_safety`),
      failures (why a lane stopped, by name).
    """
    found = {row[columns.LANE]: row for row in folder.rows()}
    runs: dict[str, list[EvaluatedRun]] = {}
    lanes: dict[str, list[dict[str, Any]]] = {}
    failures = {}
    for lane, run in _finished(folder, found, make_env):
        runs.setdefault(lane.config.options.algorithm, []).append(run)
        lanes.setdefault(lane.config.options.algorithm, []).append(found[lane.id])
    for group in folder.manifest.groups:
        for lane in group.lanes:
            row = found[lane.id]
            if row["status"] in (NONFINITE, NEGATIVE_COST):
                failures[name_of(lane)] = row["message"]
            if row["status"] == FINISHED:
                _export(folder, lane, row["iterations"], make_env, log)
    unconstrained = references_of(runs.get(UNCONSTRAINED, []))
    rows = [
        {
            **summarize_runs(name, [run.records for run in of_name], lanes[name]),
            "safety": summarize_safety(of_name, unconstrained),
        }
        for name, of_name in runs.items()
    ]
    statuses = {row["status"] for row in found.values()}
    failed = next((status for status in (NONFINITE, NEGATIVE_COST) if status in statuses), FINISHED)
    result = {
        "status": INTERRUPTED if received else failed,
        "signal": received.name if received else None,
        "lost_output": output.lost(),
        "rows": rows,
        "failures": failures,
    }
    files.write_json(folder.path / COMPARISON, result)
    if rows:
        _write(folder.path, rows, runs, folder.manifest.lanes[0].config.options.task)
    return result


def _write(
    path: Path, rows: Sequence[Mapping[str, Any]], runs: Mapping[str, Sequence[EvaluatedRun]], task: str
) -> None:
    """Write the table, the pictures and the table of runs that SafeRLEval reads."""
    safeties = {row["algorithm"]: row["safety"] for row in rows}
    files.write(path / "table.md", f"{markdown(rows)}\n{safety_table.markdown(safeties)}".encode())
    title = f"{task}, {max(row['seeds'] for row in rows)} seeds"
    records = {name: [run.records for run in of_name] for name, of_name in runs.items()}
    group_plots.draw(records, path / "curves.png", title=title)
    profile_plots.draw(runs, path / PROFILES, title=title)
    saferleval.write([run for of_name in runs.values() for run in of_name], path / saferleval.FILE)


def _finished(
    folder: SweepFolder, found: Mapping[str, Mapping[str, Any]], make_env: MakeEnv
) -> Iterator[tuple[Lane, EvaluatedRun]]:
    """Every lane that finished, with its fresh episodes; lanes of earlier versions have none.

    Args:
      folder: folder of the comparison.
      found: rows of its lanes by their names.
      make_env: makes the environment, which knows the time limit.
    """
    fresh = {lane: each for group in folder.manifest.groups for lane, each in episodes.read(folder, group).items()}
    for lane, records in lane_records(folder):
        if found[lane.id]["status"] == FINISHED:
            limit = lane.config.config["episode_length"] or make_env(*lane.config.options.environment).episode_length
            yield lane, EvaluatedRun(name_of(lane), lane.config, records, fresh.get(lane.id, {}), limit)


def _export(folder: SweepFolder, lane: Lane, iterations: int, make_env: MakeEnv, log: str) -> None:
    """Write the run directory of a lane, unless there is one with at least so many iterations; none is overwritten."""
    path = folder.path / name_of(lane)
    if path.exists() and not _has(path, iterations):
        path = path.with_name(f"{path.name}-iteration{iterations}")
    if not path.exists():
        export_lane(folder, lane.id, path, make_env, parse_names(log))


def _has(run_dir: Path, iterations: int) -> bool:
    """Whether a run directory holds a run of at least so many iterations that ended."""
    try:
        return files.read_json(run_dir / RESULT)["iterations"] >= iterations
    except (DamagedError, OSError, KeyError):
        return False


def name_of(lane: Lane) -> str:
    """Name of a lane's run directory."""
    return file_name(f"{lane.config.options.algorithm}-seed{lane.config.options.seed}")
