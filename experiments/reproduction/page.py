"""docs/results/paper.md: the claims, then every table and picture, from the cells that are there."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tabular.verdicts import Verdict

from reproduction import claims, comparisons, crossings, figures, sections, tables, words
from reproduction.cells import Curve
from reproduction.tables import Curves
from reproduction.variants import RIVALS, SAFETY_MUJOCO, TASKS, VARIANTS, VELOCITY


def by_variant(found: Sequence[Curve]) -> Curves:
    """Runs by the name of their variant."""
    groups: dict[str, list[Curve]] = {}
    for curve in found:
        groups.setdefault(curve.cell.variant.name, []).append(curve)
    return groups


def text(found: Sequence[Curve], theory: Sequence[Verdict], backend: str = "mujoco", name: str = "paper") -> str:
    """The page.

    Args:
      found: runs that have ended.
      theory: verdicts on the theorems.
      backend: their physics.
      name: name of the folder of the cells, and of the page.
    """
    return "\n".join(filter(None, _blocks(found, theory, backend, name)))


def _blocks(found: Sequence[Curve], theory: Sequence[Verdict], backend: str, name: str) -> Iterator[str]:
    curves = by_variant([curve for curve in found if curve.failure is None])

    def images(kind: str) -> str:
        files = [(task, file) for each, task, file, _ in _pictures(curves, name) if each == kind]
        return "\n".join(f"![{kind}, {task}](img/{file})\n" for task, file in files)

    yield words.HEAD.format(cells=name, backend=backend)
    yield words.SHORT if name == "paper" else ""
    yield words.RULE.format(fewest=comparisons.FEWEST)
    yield claims.noise_of_times(curves)
    yield claims.table(curves)
    yield "## The theorem and the propositions\n"
    yield words.THEORY
    yield claims.theory_table(theory)
    for number, tasks in enumerate((SAFETY_MUJOCO, VELOCITY), 1):
        yield f"## Table {number}\n\n" + tables.results(curves, tasks)
        yield "ESPO minus each rival, by seed:\n\n" + tables.differences_by_seed(curves, tasks)
    yield words.ALL_TASKS
    yield tables.all_together(curves)
    yield words.MODES
    yield tables.mode_counts(curves)
    yield words.CURVES
    yield images("curves")
    yield "## Figure 1: crossings of the band\n\nIterations after the warm-up between which the cost passed an edge.\n"
    yield crossings.table(curves)
    yield images("band")
    for part, introduction in words.SECTIONS.items():
        yield introduction
        section = sections.of_section(curves, part)
        yield sections.results(section, part, times_of=curves)
        if sections.with_cells(curves, part):
            yield "By seed:\n\n" + sections.differences_by_seed(curves, part)
        yield images(part)
    yield words.DEVIATIONS
    yield "## What is there, and what it took\n\n" + words.HOURS
    yield tables.progress(curves)
    yield claims.of_uncommitted_code(curves)
    yield tables.failures([curve for curve in found if curve.failure is not None])
    yield words.ACCELERATOR.format(variants=len(VARIANTS))


def _pictures(curves: Curves, name: str) -> Iterator[tuple[str, str, str, Mapping[str, Sequence[Curve]]]]:
    """For each picture its kind, its task, its file and the runs that it shows by their title."""
    for task in TASKS:
        groups = {a: runs for a in ("espo", *RIVALS[task]) if (runs := tables.of(curves, task, a))}
        if groups:
            yield "curves", task, f"{name}_{task}.png", groups
        if "espo" in groups and RIVALS[task][0] in groups:
            yield "band", task, f"{name}_{task}_band.png", {a: groups[a] for a in ("espo", RIVALS[task][0])}
    for part in words.SECTIONS:
        section = sections.of_section(curves, part)
        for task in TASKS:
            groups = {v.title: section[v.name] for v in sections.with_cells(section, part) if v.task == task}
            if groups:
                yield part, task, f"{name}_{task}_{part.replace(' ', '_')}.png", groups


def draw(found: Sequence[Curve], folder: Path, backend: str = "mujoco", name: str = "paper") -> list[Path]:
    """Draw every picture for which there are cells; returns their paths.

    Args:
      found: runs that have ended.
      folder: folder of the pictures.
      backend: their physics.
      name: name of the folder of the cells, and of the page.
    """
    written = []
    for kind, task, file, groups in _pictures(by_variant([run for run in found if run.failure is None]), name):
        title = f"{TASKS[task]}, {backend}"
        written.append(folder / file)
        if kind == "band":
            first = {algorithm: runs[0] for algorithm, runs in groups.items()}
            figures.band(first, written[-1], f"{title}, seed {first['espo'].cell.seed}")
        else:
            figures.curves(groups, written[-1], title)
    return written
