"""What gpu.sh has measured so far, as Markdown.

python experiments/benchmarks/gpu_report.py runs/gpu > docs/results/gpu.md
"""

import sys
from pathlib import Path
from typing import Any

import common

from espo_jax.results import bench_table
from espo_jax.results.bench import STEPPING, TRAINING, WITH_POLICY


def main(folder: Path) -> None:
    contents = [bench_table.read(path) for path in sorted(folder.glob("bench-*.json"))]
    print("# On an accelerator\n")
    print("Written by `experiments/benchmarks/gpu.sh`; steps are environment steps, medians of the runs.\n")
    for line in sorted({_where(content) for content in contents}):
        print(f"{line}\n")
    names = sorted({row["algorithm"] for content in contents for row in content["figures"] if row["algorithm"]})
    head = ["task", "physics", "environments", "X", "stepping: steps/s", "with policy: steps/s"]
    head += [f"{name}: {what}" for name in names for what in ("steps/s", "ms", "compile s", "program MB")]
    rows = sorted((_row(content, names) for content in contents), key=lambda row: (row[0], row[1], row[2]))
    cells = [[x if isinstance(x, str) else f"{x:,.0f}" for x in row] for row in rows]
    print(common.table([*head, "peak MB"], cells))
    for path in sorted(folder.glob("sizes-*.md")):
        print(f"\n## What fewer samples save: {path.stem.removeprefix('sizes-')}\n\n{path.read_text().strip()}")


def _where(content: dict[str, Any]) -> str:
    device, versions = content["device"], content["versions"]
    of = ", ".join(f"{name} {versions[name]}" for name in ("jax", "brax", "mujoco", "python") if name in versions)
    return f"{device['count']} x {device['kind']}, {of}"


def _row(content: dict[str, Any], names: list[str]) -> list[Any]:
    """A line of the table: one task on one physics, with one number of environments."""
    found = {(row["part"], row["algorithm"]): row for row in content["figures"]}
    first = content["figures"][0]
    row = [content["settings"]["task"], content["settings"]["backend"], first["num_envs"], first["samples"]]
    row += [found[part, None]["samples_per_second"] for part in (STEPPING, WITH_POLICY)]
    for name in names:
        it = found.get((TRAINING, name))
        row += ["", "", "", ""] if it is None else [
            it["samples_per_second"], 1000 * it["samples"] / it["samples_per_second"], it["compile_seconds"],
            it["program_bytes"] / 1e6,
        ]  # fmt: skip
    return [*row, max(each["peak_bytes"] for each in content["figures"]) / 1e6]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
