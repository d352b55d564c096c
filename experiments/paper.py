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
import safety_envs
import tyro
from reproduction import cells, page, training, variants
from tabular import verdicts

from espo_jax.cli import compiled_programs
from espo_jax.runs.output import Console
from espo_jax.runs.signals import Interrupted
from espo_jax.sweeps.axes import parse_seeds

RESULTS = Path(__file__).parent.parent / "docs" / "results"


@dataclass(frozen=True)
class Run:
    """Train the cells that are missing, first the first seed of every variant.

    Attributes:
      table: number of a table of the paper; several with several --table.
      part: another part of the page, or a figure, such as "figure 4"; several with several --part. Without --table and
        --part all parts are trained.
      seeds: seeds, such as 0-9. By default each variant has its own number of seeds.
      tasks: tasks, separated by commas. By default all tasks are trained.
      variant: name of a variant, as in the page's last table; several with several --variant. By default all variants
        are trained.
      sweep_dir: folder of the sweep, with checkpoints and policies.
      backend: physics; cells of another one than mujoco are kept in docs/results/paper_<backend>.
      lanes_per_group: the largest number of cells that are trained together: as many as seeds on an accelerator.
      hours: no cell is begun after this time.
      idle: say that nothing else runs on the machine, so that times may be compared; cells that were trained beside
        other work are trained again.
    """

    table: tyro.conf.UseAppendAction[tuple[int, ...]] = ()
    part: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    seeds: str | None = None
    tasks: str = ""
    variant: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    sweep_dir: Path = Path("runs/paper")
    backend: str = "mujoco"
    lanes_per_group: int = 1
    hours: float = float("inf")
    idle: bool = False


@dataclass(frozen=True)
class Plan:
    """Print how many cells there are, part by part.

    Attributes:
      backend: physics.
    """

    backend: str = "mujoco"


@dataclass(frozen=True)
class Tables:
    """Write docs/results/paper.md from the cells that are there.

    Attributes:
      backend: physics; the page of another one than mujoco is paper_<backend>.md.
      results: folder of the page and of the cells.
    """

    backend: str = "mujoco"
    results: Path = RESULTS


@dataclass(frozen=True)
class Figures:
    """Draw the page's pictures from the cells that are there.

    Attributes:
      backend: physics.
      results: folder of the page and of the cells; the pictures are in its img.
    """

    backend: str = "mujoco"
    results: Path = RESULTS


def named(backend: str) -> str:
    """Name of the page and of the folder of the cells of a physics.

    Raises:
      ValueError: there is no such physics.
    """
    if backend not in safety_envs.BACKENDS:
        raise ValueError(f"backend is {backend!r}: it must be one of {', '.join(safety_envs.BACKENDS)}")
    return "paper" if backend == "mujoco" else f"paper_{backend}"


def tables(args: Tables) -> int:
    name = named(args.backend)
    theory = verdicts.all_of(json.loads((RESULTS / "theory.json").read_text()))
    found = cells.read_all(args.results / name)
    path = args.results / f"{name}.md"
    path.write_text(page.text(found, theory, args.backend, name))
    print(path)
    return 0


def figures(args: Figures) -> int:
    name = named(args.backend)
    found = cells.read_all(args.results / name)
    for path in page.draw(found, args.results / "img", args.backend, name):
        print(path)
    return 0


def plan(args: Plan) -> int:
    root = RESULTS / named(args.backend)
    for part in variants.PARTS:
        asked = variants.chosen([part])
        there = [cell for cell in asked if cells.path_of(root, cell).exists()]
        print(f"{part}: {len(there)} of {len(asked)} cells")
    return 0


def run(args: Run) -> int:
    compiled_programs.keep(jax)
    parts = [*(f"table {number}" for number in args.table), *args.part]
    seeds = parse_seeds(args.seeds) if args.seeds else None
    asked = variants.chosen(parts, seeds, args.tasks.split(",") if args.tasks else (), args.variant)
    root = RESULTS / named(args.backend)
    work = training.Work(root, args.sweep_dir, args.backend, args.lanes_per_group, args.hours, args.idle)
    try:
        missing = training.train(asked, work, Console())
    except Interrupted as error:
        print(f"{error}; the same command goes on")
        return 128 + error.signal
    print(f"{len(asked) - len(missing)} of {len(asked)} cells are there")
    print("".join(f"missing or failed: {name}\n" for name in missing), end="")
    return 1 if missing else 0


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
