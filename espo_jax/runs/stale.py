"""What was made of a run's policy, such as its web page, is marked when the run goes on: the policy is another then."""

from pathlib import Path

# What the commands write into a run directory unless they are told another name.
_MADE = ("report.html", "policy.onnx", "policy.stablehlo", "episode.mp4", "eval-*.json")
_MARK = "-before-iteration"


def mark_stale(run_dir: Path, iteration: int) -> list[str]:
    """Rename what was made of the policy, such as report.html to report-before-iteration501.html.

    Args:
      run_dir: folder of the run.
      iteration: number of iterations that the run goes on after.

    Returns:
      One line for each file, for people.
    """
    notes = []
    for path in sorted(path for pattern in _MADE for path in run_dir.glob(pattern)):
        if _MARK in path.name or not path.is_file():
            continue
        marked = path.with_name(f"{path.stem}{_MARK}{iteration + 1}{path.suffix}")
        path.replace(marked)
        notes.append(f"{path.name} is of the policy before the run went on: it is now {marked.name}")
    return notes
