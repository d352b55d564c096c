"""The paper's tables and figures, and what it does not show, from cells that are trained once and kept here.

python experiments/paper.py run --table 1 --seeds 0-9   # trains what is missing; goes on where it stopped
python experiments/paper.py plan                        # what there is, and what is missing
python experiments/paper.py tables                      # docs/results/paper.md, of what is there
python experiments/paper.py figures                     # its pictures
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import jax
import tyro
from reproduction import cells, page, training, variants
from tabular import verdicts

from espo_jax.cli import compiled_programs
from espo_jax.runs.output import Console
from espo_jax.runs.signals import Interrupted
from espo_jax.sweeps.axes import parse_seeds

RESULTS = Path(__file__).parent.parent / "docs" / "results"
CELLS = RESULTS / "paper"


@dataclass(frozen=True)
class Run:
    """Train the cells that are missing, first the first seed of every variant.

    Attributes:
      table: number of a table of the paper; several with several --table.
      part: another part of the page, such as "figure 4"; several with several --part. Neither stands for everything.
      seeds: seeds, such as 0-9; none stands for as many as each variant asks for.
      tasks: tasks, separated by commas; none stands for all.
      sweep_dir: folder of the sweep, with checkpoints and policies.
      backend: physics; cells of another one than mujoco are kept in a folder of their own, for --cells of the others.
      lanes_per_group: the largest number of cells that are trained together: as many as seeds on an accelerator.
      hours: no cell is begun after this time.
      idle: say that nothing else runs on the machine, so that times may be compared.
    """

    table: tyro.conf.UseAppendAction[tuple[int, ...]] = ()
    part: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    seeds: str | None = None
    tasks: str = ""
    sweep_dir: Path = Path("runs/paper")
    backend: str = "mujoco"
    lanes_per_group: int = 1
    hours: float = float("inf")
    idle: bool = False


@dataclass(frozen=True)
class Plan:
    """Print how many cells there are and are missing, part by part."""


@dataclass(frozen=True)
class Tables:
    """Write docs/results/paper.md from the cells that are there.

    Attributes:
      cells: folder of the cells.
      results: folder of the page.
    """

    cells: Path = CELLS
    results: Path = RESULTS


@dataclass(frozen=True)
class Figures:
    """Draw the page's pictures from the cells that are there.

    Attributes:
      cells: folder of the cells.
      results: folder of the page, which has the pictures in img.
    """

    cells: Path = CELLS
    results: Path = RESULTS


def tables(args: Tables) -> int:
    path = args.results / "paper.md"
    theory = verdicts.all_of(json.loads((RESULTS / "theory.json").read_text()))
    path.write_text(page.text(page.by_variant(cells.read(args.cells, page.every_cell())), theory))
    print(path)
    return 0


def figures(args: Figures) -> int:
    for path in page.draw(page.by_variant(cells.read(args.cells, page.every_cell())), args.results / "img"):
        print(path)
    return 0


def plan(args: Plan) -> int:
    for part in variants.PARTS:
        asked = variants.chosen([part], None)
        there = [cell for cell in asked if cells.path_of(CELLS, cell).exists()]
        print(f"{part}: {len(there)} of {len(asked)} cells")
    return 0


def run(args: Run) -> int:
    compiled_programs.keep(jax)
    parts = [*(f"table {number}" for number in args.table), *args.part]
    asked = variants.chosen(parts, parse_seeds(args.seeds) if args.seeds else None)
    if args.tasks:
        asked = [cell for cell in asked if cell.variant.task in args.tasks.split(",")]
    root = CELLS if args.backend == "mujoco" else CELLS.with_name(f"{CELLS.name}_{args.backend}")
    work = training.Work(root, args.sweep_dir, args.backend, args.lanes_per_group, args.hours, args.idle)
    try:
        missing = training.train(asked, work, Console())
    except Interrupted as error:
        print(f"{error}; the same command goes on")
        return 128 + error.signal
    print(f"{len(asked) - missing} of {len(asked)} cells are there")
    return 0


_COMMANDS = {"run": (Run, run), "plan": (Plan, plan), "tables": (Tables, tables), "figures": (Figures, figures)}


def main() -> int:
    args = tyro.extras.subcommand_cli_from_dict({name: kind for name, (kind, _) in _COMMANDS.items()})
    command = next(command for kind, command in _COMMANDS.values() if isinstance(args, kind))
    try:
        return command(args)
    except (ValueError, OSError) as error:
        raise SystemExit(f"paper.py: error: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
