"""What a folder that a user names stands for: a run, or a comparison, a sweep or a study of several runs."""

from pathlib import Path

from espo_jax.results.read import Run, read_run
from espo_jax.results.sweep_read import read_sweep, runs_of
from espo_jax.runs.run_directory import CONFIG
from espo_jax.sweeps.folder import MANIFEST

COMPARISON = "comparison.json"
_STUDY, _LANES_OF_A_STUDY = "study.json", "sweep"
_MOST_NAMED = 4


def is_sweep(path: Path) -> bool:
    """Whether a folder is that of a sweep; a comparison is a sweep too, but over algorithms and seeds only."""
    return (path / MANIFEST).exists() and not (path / CONFIG).exists()


def is_comparison(path: Path) -> bool:
    """Whether a folder is that of a comparison."""
    return is_sweep(path) and (path / COMPARISON).exists()


def sweep_of(path: Path) -> Path:
    """The folder of a sweep: that of the lanes for a study of `espo tune`, for any other folder itself."""
    return path / _LANES_OF_A_STUDY if (path / _STUDY).exists() else path


def runs_in(path: Path) -> list[Run]:
    """The runs that a folder stands for.

    Args:
      path: run directory, folder of a sweep, of a comparison or of a study, whose finished lanes are meant, or a
        folder of run directories.

    Raises:
      DamagedError: something in it cannot be read, or there is no run.
    """
    path = sweep_of(path)
    if is_sweep(path):
        return runs_of(read_sweep(path))
    if not (path / CONFIG).exists() and (inside := run_directories(path)):
        return [read_run(each) for each in inside]
    return [read_run(path)]


def run_directories(path: Path) -> list[Path]:
    """The run directories in a folder, by name."""
    return sorted(each.parent for each in path.glob(f"*/{CONFIG}"))


def require_run(path: Path, command: str) -> None:
    """Refuse a folder that holds several runs, for a command that needs one; say which there are.

    Args:
      path: the folder.
      command: the command, for the message.

    Raises:
      ValueError: it is the folder of a comparison, of a sweep or of a study, or holds run directories.
    """
    if (path / CONFIG).exists():
        return
    inside = run_directories(path)
    shown = ", ".join(str(each) for each in inside[:_MOST_NAMED]) + (", ..." if len(inside) > _MOST_NAMED else "")
    if inside:
        what = "a comparison" if is_comparison(path) else "a sweep" if is_sweep(path) else "a folder"
        raise ValueError(f"{path} is {what} with {len(inside)} runs: {command} takes one of them: {shown}")
    if is_sweep(sweep_of(path)):
        folder = sweep_of(path)
        raise ValueError(
            f"{path} is a sweep: {command} takes a run directory, which espo export-lane {folder} LANE FOLDER makes of "
            f"a lane; {folder}/lanes.parquet names the lanes, espo sweep --best --sweep-dir {folder} the best safe one"
        )
