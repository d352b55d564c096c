"""docs/results/paper.md: the claims, then every table and picture, from the cells that are there."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from tabular.verdicts import Verdict

from reproduction import claims, figures, tables
from reproduction.cells import Curve
from reproduction.tables import Curves
from reproduction.variants import RIVALS, SAFETY_MUJOCO, TASKS, VARIANTS, VELOCITY, Variant, chosen

_HEAD = """# ESPO, reproduced: what the cells say

Written by `python experiments/paper.py tables` and `figures` from the cells in docs/results/paper, one Parquet file for
each run; nothing is typed in by hand. `python experiments/paper.py run` trains the cells that are missing.

- Physics `mujoco` (the engine of the paper's tasks), 500 iterations, the paper's settings (`--preset paper`).
- Numbers are interquartile means over seeds (means for fewer than four), in brackets their 95 % bootstrap intervals,
  resampled within each task. Differences are by seed.
- Reward and cost are undiscounted sums of an episode: means over the last 20 iterations of training, of the policy that
  samples. "Fresh episodes" are 20 new ones of the last policy.
- Time is wall time without compilation, only of runs that had the machine to themselves.
"""

_DEVIATIONS = """## Deviations from the paper's protocol

- The paper's code is not public. Where the text is silent the readings of [docs/paper.md](../paper.md), section 5, are
  used; the one that decides most is that the time limit is a termination on the Safety-MuJoCo tasks.
- Networks are tanh with two layers of 64; critics are fitted to TD(lambda) returns by L-BFGS (Safety-MuJoCo) or Adam
  (velocity tasks), all critics in every iteration. The line search bounds the KL divergence.
- 16 or 20 environments are stepped together instead of one, so that an iteration's samples are pieces of episodes that
  go on in the next iteration.
- The physics is MuJoCo with its own solver in double precision; everything else is in single precision.
- The paper's hardware is not known well enough to compare minutes; ratios between algorithms are compared.
"""

_SECTIONS = {
    "figure 4": ("Figure 4: other limits and other sizes on Walker2d", ("walker2d-espo", "walker2d-crpo")),
    "rules": (
        "Rules for the sample size",
        ("walker2d-espo", "walker2d-pcrpo", "hopper_velocity-espo"),
    ),
    "carries over": (
        "Gradient conflict around other algorithms",
        ("walker2d-crpo", "hopper_velocity-cup", "hopper_velocity-ppo_lagrangian"),
    ),
    "time limit": ("The other reading of the time limit", tuple(f"{task}-espo" for task in TASKS)),
    "conflict": ("The conflict's metric and its resolution", ("walker2d-espo",)),
}


def by_variant(found: Sequence[Curve]) -> Curves:
    """Finished cells by the name of their variant."""
    groups: dict[str, list[Curve]] = {}
    for curve in found:
        groups.setdefault(curve.cell.variant.name, []).append(curve)
    return groups


def shown(part: str) -> list[Variant]:
    """The variants of a section, with the plain ones that they are compared with, by task."""
    beside = _SECTIONS[part][1]
    variants = [v for v in VARIANTS if part in v.parts or v.name in beside]
    return sorted(variants, key=lambda v: list(TASKS).index(v.task))


def text(curves: Curves, theory: Sequence[Verdict]) -> str:
    """The page.

    Args:
      curves: finished cells by the name of their variant.
      theory: verdicts on the theorems.
    """
    return "\n".join(_blocks(curves, theory))


def _blocks(curves: Curves, theory: Sequence[Verdict]) -> Iterator[str]:
    yield _HEAD
    yield "## The claims of the abstract\n\n" + claims.RULE + "\n"
    yield claims.table(curves, "python experiments/paper.py run --table 1 --table 2", theory)
    yield "What the theorems say, how they were measured, and where they fail: [theory.md](theory.md).\n"
    for number, tasks in enumerate((SAFETY_MUJOCO, VELOCITY), 1):
        yield f"## Table {number}\n\n" + tables.results(curves, tasks)
        yield "ESPO minus each rival, by seed:\n\n" + tables.differences(curves, tasks)
    yield "## Samples over all tasks\n\n" + tables.all_together(curves)
    yield "## Table 3: iterations in each mode on HumanoidStandup\n\n" + tables.mode_counts(curves)
    yield "## Figures 2, 3 and 5: curves\n"
    for task in TASKS:
        if any(tables.of(curves, task, a) for a in ("espo", *RIVALS[task])):
            yield f"![Reward, cost and time on {task}](img/paper_{task}.png)\n"
    yield "## Figure 1: crossings of the band\n\nIterations after the warm-up between which the cost passed an edge.\n"
    yield tables.crossing_table(curves)
    for task in TASKS:
        if one_of_each(curves, task):
            yield f"![The cost on {task} and its band](img/paper_{task}_band.png)\n"
    yield "## Reward and cost at equal samples\n\nESPO minus each rival where ESPO's run has ended.\n"
    yield tables.equal_samples(curves)
    for part, (title, _) in _SECTIONS.items():
        yield f"## {title}\n\n" + tables.of_variants(curves, shown(part))
        for task, groups in compared(curves, part).items():
            yield f"![{', '.join(groups)} on {task}](img/{_picture(part, task)})\n"
    yield _DEVIATIONS
    yield "## What is there, and what it took\n\n" + tables.progress(curves)


def one_of_each(curves: Curves, task: str) -> dict[str, Curve]:
    """The first finished run of ESPO and of its first rival; nothing if one of them has none."""
    found = {a: runs[0] for a in ("espo", RIVALS[task][0]) if (runs := tables.of(curves, task, a))}
    return found if len(found) == 2 else {}


def compared(curves: Curves, part: str) -> dict[str, dict[str, Sequence[Curve]]]:
    """Runs of the variants of a section by task and title, where there are runs of more than one."""
    found: dict[str, dict[str, Sequence[Curve]]] = {}
    for variant in shown(part):
        if runs := curves.get(variant.name):
            found.setdefault(variant.task, {})[variant.title] = runs
    return {task: groups for task, groups in found.items() if len(groups) > 1}


def _picture(part: str, task: str) -> str:
    return f"paper_{task}_{part.replace(' ', '_')}.png"


def draw(curves: Curves, folder: Path) -> list[Path]:
    """Draw every picture for which there are cells; returns their paths.

    Args:
      curves: finished cells by the name of their variant.
      folder: folder of the pictures.
    """
    written = []
    for task in TASKS:
        groups = {a: runs for a in ("espo", *RIVALS[task]) if (runs := tables.of(curves, task, a))}
        if groups:
            written.append(folder / f"paper_{task}.png")
            figures.curves(groups, written[-1], f"{TASKS[task]}, mujoco")
        if runs := one_of_each(curves, task):
            written.append(folder / f"paper_{task}_band.png")
            figures.band(runs, written[-1], f"{TASKS[task]}, mujoco, seed {runs['espo'].cell.seed}")
    for part in _SECTIONS:
        for task, groups in compared(curves, part).items():
            written.append(folder / _picture(part, task))
            figures.curves(groups, written[-1], f"{TASKS[task]}, mujoco")
    return written


def every_cell() -> list:
    """All cells, those too of more seeds than the page asks for."""
    return chosen([], range(max(v.seeds for v in VARIANTS)))
