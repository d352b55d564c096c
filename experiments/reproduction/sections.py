"""The sections of the page after the paper's tables: variants beside the algorithms that they are compared with."""

from collections.abc import Callable, Mapping, Sequence

from espo_jax.modes import MODE_NAMES
from reproduction.cells import Curve
from reproduction.comparisons import Comparison
from reproduction.estimates import differences, estimate, pairs
from reproduction.tables import Curves, against, at_equal_samples, markdown, of, outcome, reward
from reproduction.times import minutes_at_the_rate_of
from reproduction.variants import HALF, RIVALS, TASKS, VARIANTS, Variant

_BESIDE = {  # plain variants that a section shows beside its own
    "figure 4": ("walker2d-espo", "walker2d-crpo"),
    "rules": ("walker2d-espo", "walker2d-pcrpo", "hopper_velocity-espo"),
    "carries over": ("walker2d-crpo", "hopper_velocity-cup", "hopper_velocity-ppo_lagrangian"),
    "time limit": tuple(Variant(task, algorithm).name for task in TASKS for algorithm in ("espo", *RIVALS[task])),
    "conflict": ("walker2d-espo",),
    "initial noise": ("humanoidstandup-espo",),
}
_PAPER_MINUTES = {  # Figure 4
    "walker2d-espo": "58", "walker2d-crpo": "71", "walker2d-espo-cost_limit=30.0": "63",
    "walker2d-espo-zeta_positive=0.2": "67",
}  # fmt: skip


def shown(part: str) -> list[Variant]:
    """The variants of a section, with the plain ones that they are compared with, by task."""
    variants = [v for v in VARIANTS if part in v.parts or v.name in _BESIDE[part]]
    return sorted(variants, key=lambda v: list(TASKS).index(v.task))


def with_cells(curves: Curves, part: str) -> list[Variant]:
    """The variants of a section that have cells, of the tasks for which a variant of the section's own has."""
    found = [variant for variant in shown(part) if curves.get(variant.name)]
    tasks = {variant.task for variant in found if part in variant.parts}
    return [variant for variant in found if variant.task in tasks]


def of_section(curves: Curves, part: str) -> Curves:
    """The runs that a section shows: its own, and those of the plain variants with the seeds that it compares."""
    own = [variant for variant in with_cells(curves, part) if part in variant.parts]
    found = {variant.name: curves[variant.name] for variant in own}
    for plain in (variant for variant in with_cells(curves, part) if variant not in own):
        others = [variant for variant in own if variant.task == plain.task]
        alike = [variant for variant in others if variant.algorithm == plain.algorithm] or others
        seeds = {run.cell.seed for variant in alike for run in curves[variant.name]}
        found[plain.name] = [run for run in curves[plain.name] if run.cell.seed in seeds]
    return found


def compared(part: str) -> list[tuple[Variant, Variant]]:
    """The pairs of variants whose runs are subtracted by seed in a section."""
    found = []
    for variant in (v for v in VARIANTS if part in v.parts and v.settings != HALF.get(v.task)):
        found.append((variant, Variant(variant.task, variant.algorithm)))
        if "sample_size_rule" in variant.settings:
            algorithm = "pcrpo" if variant.algorithm == "espo" else variant.algorithm  # ESPO without its rule
            found.append((variant, Variant(variant.task, algorithm, HALF[variant.task])))
        if part == "time limit" and variant.algorithm == "espo":
            found += [(variant, Variant(variant.task, rival, variant.settings)) for rival in RIVALS[variant.task]]
    if part == "rules":
        found = [(Variant(t, "espo"), Variant(t, "pcrpo", half)) for t, half in HALF.items()] + found
    return found


def results(curves: Curves, part: str, times_of: Curves) -> str:
    """What came out of the variants of a section, with the columns that only this one has.

    Args:
      curves: the runs that it shows.
      part: the section.
      times_of: all runs, of which others may have been timed.
    """
    own = _COLUMNS.get(part, lambda variant, runs, times_of: {})
    rows = []
    for variant in with_cells(curves, part):
        runs = curves[variant.name]
        row = {"task": variant.task, "variant": variant.title, **outcome(runs), **own(variant, runs, times_of)}
        rows.append(row)
    return markdown(rows)


def _minutes(variant: Variant, runs: Sequence[Curve], times_of: Curves) -> dict[str, str]:
    """Minutes at the rate of the algorithm's run with the paper's settings that was timed."""
    alone = of(times_of, variant.task, variant.algorithm)
    return {"minutes": minutes_at_the_rate_of(alone, runs), "minutes of the paper": _PAPER_MINUTES[variant.name]}


def _sizes(variant: Variant, runs: Sequence[Curve], times_of: Curves) -> dict[str, str]:
    """Shares of the iterations with the smallest and with the largest size, if there is a rule."""
    ruled = [curve for curve in runs if curve.has_rule]
    zetas = {"X(1 + ζ-), %": "zeta_negative", "X(1 + ζ+), %": "zeta_positive"}
    return {
        name: estimate([100 * curve.share_of_size(zeta) for curve in ruled]).text(0) for name, zeta in zetas.items()
    }


def _modes(variant: Variant, runs: Sequence[Curve], times_of: Curves) -> dict[str, str]:
    """Numbers of iterations in each mode, if there is a balance mode."""
    counts = [curve.counts() for curve in runs] if variant.has_band else []
    return {f"{mode} mode": estimate([count[mode] for count in counts]).text(0) for mode in MODE_NAMES}


_COLUMNS: Mapping[str, Callable[[Variant, Sequence[Curve], Curves], dict[str, str]]] = {
    "figure 4": _minutes, "rules": _sizes, "carries over": _sizes, "time limit": _modes, "initial noise": _modes,
}  # fmt: skip


def differences_by_seed(curves: Curves, part: str) -> str:
    """Pairs of variants of a section, the first minus the second by seed, and whether the first has more reward."""
    rows = []
    for ours, theirs in compared(part):
        runs = curves.get(ours.name, ()), curves.get(theirs.name, ())
        if found := pairs(*runs):
            more = at_equal_samples(*runs, "episode_reward"), differences(*runs, reward)
            row = {"task": ours.task, "variant": ours.title, "minus": theirs.title, "seeds": str(len(found))}
            row |= against(*runs)
            row["more reward at equal samples, at the end"] = ", ".join(Comparison("", each).says for each in more)
            rows.append(row)
    return markdown(rows)
