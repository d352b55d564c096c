"""How much is run: everything for the page, or seconds of it for the tests."""

from typing import NamedTuple


class Scale(NamedTuple):
    """Sizes of the experiment.

    Args:
      cmdps: random CMDPs of each kind.
      iterations: values of T for the exact updates; the largest one for one reading only.
      sampled_iterations: values of T for the sampled updates.
      states, actions, discounts: the values that are compared at `size_iterations`.
      size_iterations: T of that comparison.
      region_iterations: T of the runs for Proposition 4.2.
      reward_weights: values of x_r for Proposition 4.2; 1/2 is among them.
      manipulation_iterations: T of the runs for Proposition 4.3.
      rollouts: values of X for Proposition 4.3, as rollouts of each state and action.
      seeds: runs of each CMDP for Proposition 4.3.
      readings: names in `readings.READINGS` that are compared for Propositions 4.2 and 4.3.
      families: numbers of states and actions among which counterexamples are searched, the smallest first.
      candidates: CMDPs of each size among which counterexamples are searched.
      search_iterations: T of that search.
    """

    cmdps: int
    iterations: tuple[int, ...]
    sampled_iterations: tuple[int, ...]
    states: tuple[int, ...]
    actions: tuple[int, ...]
    discounts: tuple[float, ...]
    size_iterations: int
    region_iterations: int
    reward_weights: tuple[float, ...]
    manipulation_iterations: int
    rollouts: tuple[int, ...]
    seeds: int
    readings: tuple[str, ...]
    families: tuple[tuple[int, int], ...]
    candidates: int
    search_iterations: int


SCALES = {
    "full": Scale(
        cmdps=32,
        iterations=(1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000),
        sampled_iterations=(1_000, 3_000, 10_000, 30_000),
        states=(2, 4, 8, 16, 32),
        actions=(2, 4, 8, 16, 32),
        discounts=(0.5, 0.7, 0.8, 0.9, 0.95),
        size_iterations=30_000,
        region_iterations=10_000,
        reward_weights=(0.0, 0.05, 0.25, 0.5, 0.75, 1.0),
        manipulation_iterations=1_500,
        rollouts=(2, 8),
        seeds=2,
        readings=("q", "advantage", "centred", "euclidean", "fisher"),
        families=((1, 2), (1, 3), (2, 2)),
        candidates=600,
        search_iterations=3_000,
    ),
    "small": Scale(
        cmdps=3,
        iterations=(100, 200, 400),
        sampled_iterations=(20, 40),
        states=(2, 3),
        actions=(2, 3),
        discounts=(0.5, 0.7),
        size_iterations=100,
        region_iterations=100,
        reward_weights=(0.0, 0.5),
        manipulation_iterations=50,
        rollouts=(2,),
        seeds=2,
        readings=("q", "centred", "fisher"),
        families=((1, 3),),
        candidates=50,
        search_iterations=300,
    ),
}
