"""What is run: every table and figure of the paper, and what the paper does not show, as variants with seeds."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

TASKS = {
    "reacher": "safety_reacher",
    "walker2d": "safety_walker2d",
    "humanoidstandup": "safety_humanoidstandup",
    "hopper_velocity": "safety_hopper_velocity",
    "ant_velocity": "safety_ant_velocity",
}
SAFETY_MUJOCO, VELOCITY = tuple(TASKS)[:3], tuple(TASKS)[3:]
SEEDS = {"reacher": 10, "walker2d": 5, "humanoidstandup": 5, "hopper_velocity": 5, "ant_velocity": 3}
RIVALS = {
    **dict.fromkeys(SAFETY_MUJOCO, ("crpo", "pcrpo")),
    **dict.fromkeys(VELOCITY, ("pcpo", "cup", "ppo_lagrangian")),
}
# Share of the iterations, in percent, in which the first three seeds of ESPO found a conflict. With this share the
# random rule uses as many samples as ESPO.
CONFLICTS = {"walker2d": 56, "hopper_velocity": 58}
# X/2 in twice as many iterations, whatever the gradients say: the same samples as X.
HALF = {
    "walker2d": {"base_sample_size": 8_000, "num_iterations": 1_000},
    "hopper_velocity": {"base_sample_size": 10_000, "num_iterations": 1_000},
}
OTHER_TIME_LIMIT = {**dict.fromkeys(SAFETY_MUJOCO, "truncation"), **dict.fromkeys(VELOCITY, "termination")}
SEEDS_BEYOND = 3  # of what the paper does not show


@dataclasses.dataclass(frozen=True)
class Variant:
    """One algorithm with its settings on one task.

    Attributes:
      task: key of TASKS.
      algorithm: name of the algorithm.
      settings: settings that are not those of the paper's preset.
      parts: parts of the page that show it.
      seeds: number of seeds that the page asks for.
    """

    task: str
    algorithm: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    parts: tuple[str, ...] = ()
    seeds: int = SEEDS_BEYOND

    @property
    def name(self) -> str:
        """Name of the variant, and of the folder of its cells."""
        return "-".join([self.task, self.algorithm, *self._own("=")])

    @property
    def has_band(self) -> bool:
        """Whether the algorithm has a balance mode, in a band around the limit."""
        return self.algorithm in ("espo", "pcrpo")

    @property
    def title(self) -> str:
        """The variant for people, without its task."""
        return ", ".join([self.algorithm, *self._own(" ")])

    def _own(self, between: str) -> list[str]:
        """Its own settings as texts; code is named without its module."""
        return [f"{name}{between}{str(value).rpartition(':')[2]}" for name, value in sorted(self.settings.items())]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run: a variant with a seed."""

    variant: Variant
    seed: int

    @property
    def name(self) -> str:
        """Name of the cell's file, without its ending."""
        return f"{self.variant.name}/{self.seed}"


def _main() -> Iterator[Variant]:
    """Tables 1 to 3 and Figures 1 to 3 and 5."""
    for task, rivals in RIVALS.items():
        table = "table 1" if task in SAFETY_MUJOCO else "table 2"
        for algorithm in ("espo", *rivals):
            parts = [table, "curves", "equal samples"]
            if task == "humanoidstandup" and algorithm != "pcrpo":
                parts.append("table 3")
            if algorithm in ("espo", "crpo"):
                parts.append("crossings")
            yield Variant(task, algorithm, {}, tuple(parts), SEEDS[task])


def _ablations() -> Iterator[Variant]:
    """Figure 4."""
    seeds = SEEDS["walker2d"]
    yield Variant("walker2d", "espo", {"cost_limit": 30.0}, ("figure 4",), seeds)
    yield Variant("walker2d", "espo", {"zeta_positive": 0.2}, ("figure 4",), seeds)


def _sample_sizes() -> Iterator[Variant]:
    """Sample-size rules with ESPO, and gradient conflict with other algorithms."""
    for task, share in CONFLICTS.items():
        for rule in ("conflict_angle", "norm_test", "inner_product_test", f"reproduction.random_sizes:random_{share}"):
            yield Variant(task, "espo", {"sample_size_rule": rule}, ("rules",))
        yield Variant(task, "pcrpo", HALF[task], ("rules",))
    for task, algorithms in {"walker2d": ("crpo",), "hopper_velocity": ("cup", "ppo_lagrangian")}.items():
        for algorithm in algorithms:
            for settings in ({"sample_size_rule": "gradient_conflict"}, HALF[task]):
                yield Variant(task, algorithm, settings, ("carries over",))


def _readings() -> Iterator[Variant]:
    """The other reading of the time limit, and of the conflict."""
    for task, rivals in RIVALS.items():
        for algorithm in ("espo", *rivals):
            yield Variant(task, algorithm, {"time_limit": OTHER_TIME_LIMIT[task]}, ("time limit",))
    for metric in ("euclidean", "fisher"):
        yield Variant("walker2d", "espo", {"conflict_metric": metric}, ("conflict",))
    for resolution in ("weighted", "min_norm", "cagrad"):
        yield Variant("walker2d", "espo", {"conflict_resolution": resolution}, ("conflict",))


def _starts() -> Iterator[Variant]:
    """Less noise in the first policy, on the task whose cost is mostly that noise."""
    yield Variant("humanoidstandup", "espo", {"initial_log_std": -0.5}, ("initial noise",))


VARIANTS: tuple[Variant, ...] = (*_main(), *_ablations(), *_sample_sizes(), *_readings(), *_starts())
PARTS = tuple(dict.fromkeys(part for variant in VARIANTS for part in variant.parts))
_FIGURES = {"figure 1": "crossings", "figure 2": "curves", "figure 3": "curves", "figure 5": "curves"}


def chosen(
    parts: Sequence[str] = (), seeds: Sequence[int] | None = None, tasks: Sequence[str] = (), names: Sequence[str] = ()
) -> list[Cell]:
    """The cells of some parts: first the first seed of all of them, so that every table fills evenly.

    Args:
      parts: parts of the page, or figures of the paper; if it is empty, all parts.
      seeds: seeds; if it is None, each variant has its own number of seeds.
      tasks: keys of TASKS; if it is empty, all tasks.
      names: names of variants; if it is empty, all variants.

    Raises:
      ValueError: there is no such part, task or variant, or no variant is in all that is named.
    """
    variants = [variant.name for variant in VARIANTS]
    for name, given, known in (
        ("part", parts, (*PARTS, *_FIGURES)),
        ("task", tasks, TASKS),
        ("variant", names, variants),
    ):
        if unknown := [each for each in given if each not in known]:
            raise ValueError(f"{name} is {unknown[0]!r}: it must be one of {', '.join(known)}")
    named = {_FIGURES.get(part, part) for part in parts}
    wanted = [
        variant for variant in VARIANTS
        if (not named or named & set(variant.parts))
        and (not tasks or variant.task in tasks)
        and (not names or variant.name in names)
    ]  # fmt: skip
    if not wanted:
        given = ", ".join([*parts, *tasks, *names])
        raise ValueError(f"no variant is in all of {given}: give parts, tasks and variants that belong together")
    numbers = range(max(v.seeds for v in wanted)) if seeds is None else seeds
    return [Cell(v, seed) for seed in numbers for v in wanted if seeds is not None or seed < v.seeds]
