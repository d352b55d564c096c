"""The figures of `espo bench` as Markdown, and two files of them side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from espo_jax.results.bench import Figures
from espo_jax.runs.files import DamagedError, read_json

FORMAT = 1
_MOST_ROWS = 100_000
_HEAD = ("environments", "part", "samples", "steps/s", "least", "most", "compile (s)", "program (MB)", "peak (MB)")
_NUMBERS = ("num_envs", "samples", "samples_per_second", "compile_seconds", "program_bytes", "peak_bytes")


def head() -> str:
    """The first two lines of the table."""
    return f"{_line(_HEAD)}\n{_line(['---'] * len(_HEAD))}"


def row(figures: Figures) -> str:
    """A line of the table: the median of the runs, the slowest and the fastest."""
    speeds = [figures.samples / seconds for seconds in figures.seconds]
    numbers = (figures.samples, figures.samples_per_second, min(speeds), max(speeds))
    memory = (figures.program_bytes / 1e6, figures.peak_bytes / 1e6)
    cells = [*map(_number, numbers), *(f"{x:,.1f}" for x in (figures.compile_seconds, *memory))]
    return _line([_number(figures.num_envs), name(figures._asdict()), *cells])


def as_json(figures: Sequence[Figures], settings: Mapping[str, Any], surroundings: Mapping[str, Any]) -> dict[str, Any]:
    """What a file of figures holds."""
    rows = [{**each._asdict(), "samples_per_second": each.samples_per_second} for each in figures]
    return {"format": FORMAT, **surroundings, "settings": dict(settings), "figures": rows}


def read(path: Path) -> dict[str, Any]:
    """Read a file that `as_json` made.

    Raises:
      DamagedError: it is no such file.
    """
    content = read_json(path)
    found = content.get("format")
    if not isinstance(found, int) or found < 1:
        raise DamagedError(f"{path} is no file of espo bench: it has no format number")
    if found > FORMAT:
        raise DamagedError(f"{path} has format {found}: a later version wrote it, and this one knows up to {FORMAT}")
    rows = content.get("figures")
    if not isinstance(rows, list) or not rows or len(rows) > _MOST_ROWS:
        raise DamagedError(f"{path} has no figures")
    for each in rows:
        if not isinstance(each, dict) or not isinstance(each.get("part"), str):
            raise DamagedError(f"{path} has a figure without a part")
        for name in _NUMBERS:
            if isinstance(each.get(name), bool) or not isinstance(each.get(name), int | float) or not each[name] >= 0:
                raise DamagedError(f"{path} has a figure whose {name} is no number of at least 0")
    return content


def compare(first: Path, second: Path) -> str:
    """A table of the steps per second in two files, and their ratio, for the figures that both have.

    Raises:
      DamagedError: a file is not readable, or they have nothing in common.
    """
    one, other = read(first), read(second)
    rows = {_key(each): each for each in other["figures"]}
    common = [(each, rows[_key(each)]) for each in one["figures"] if _key(each) in rows]
    if not common:
        raise DamagedError(f"{first} and {second} have no part with the same numbers of environments and samples")
    lines = [f"{name}: {_where(content)}" for name, content in (("a", one), ("b", other))]
    left_out = len(one["figures"]) + len(other["figures"]) - 2 * len(common)
    if left_out:
        lines.append(f"{left_out} figures are in one file only")
    titles = ("environments", "part", "samples", "a: steps/s", "b: steps/s", "b / a", "program b / a")
    lines += ["", _line(titles), _line(["---"] * len(titles))]
    for a, b in common:
        speeds = a["samples_per_second"], b["samples_per_second"]
        ratios = [f"{y / x:.2f}" if x else "" for x, y in (speeds, (a["program_bytes"], b["program_bytes"]))]
        lines.append(_line([_number(a["num_envs"]), name(a), *map(_number, (a["samples"], *speeds)), *ratios]))
    return "\n".join(lines)


def _key(row: Mapping[str, Any]) -> tuple:
    return str(row["part"]), str(row.get("algorithm")), row["num_envs"], row["samples"]


def name(row: Mapping[str, Any]) -> str:
    """What a figure is of: the part, and the algorithm if there is one."""
    return f"{row['part']}, {row['algorithm']}" if row.get("algorithm") else row["part"]


def _where(content: Mapping[str, Any]) -> str:
    device, versions, settings = (content.get(name) for name in ("device", "versions", "settings"))
    kind = device.get("kind") if isinstance(device, dict) else None
    jax = versions.get("jax") if isinstance(versions, dict) else None
    task, backend = (settings.get(name) if isinstance(settings, dict) else None for name in ("task", "backend"))
    return f"{task} on {backend}, {kind}, jax {jax}"


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _line(cells: Sequence[Any]) -> str:
    return f"| {' | '.join(map(str, cells))} |"
