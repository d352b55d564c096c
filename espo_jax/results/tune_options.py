"""The options of a tuning."""

import dataclasses

from espo_jax.results.search_space import Dimension, parse_space
from espo_jax.settings import check_settings, documented, setting
from espo_jax.sweeps.axes import parse_seeds


@documented
@dataclasses.dataclass(frozen=True)
class TuneOptions:
    """What is tuned, and how.

    Raises:
      ValueError: naming the field, its value and what is allowed.
    """

    range: tuple[str, ...] = setting(
        (), "range name=low:high:log or name=low:high:linear to draw a traced setting from", repeated=True
    )
    choice: tuple[str, ...] = setting(
        (),
        "choices name=value,value,... of a setting; each combination of static settings, such as algorithms, is one "
        "more program to compile",
        repeated=True,
    )
    num_trials: int = setting(64, "number of trials of the study, with those of earlier commands")
    trials_per_round: int | None = setting(
        None,
        "number of trials that are drawn and trained together, from what the rounds before have shown",
        none="as many as fill one pack on each device, so 1 on a CPU, and at most an eighth of num_trials",
    )
    seeds: str = setting("0", "seeds of every trial, such as 0-9 or 0,3,5-7")
    random_seed: int = setting(0, "seed of the draws", range="[0, 2^31)")
    tune_dir: str | None = setting(None, "folder of the tuning; one that exists goes on", none="a new one in runs/")
    pack_size: int | None = setting(
        None,
        "number of lanes that are vmapped",
        none="1 on a CPU; on an accelerator as many as fill it and fit into its memory",
    )

    def __post_init__(self) -> None:
        """Check every field."""
        check_settings(self)
        self.space()
        parse_seeds(self.seeds)

    def space(self) -> tuple[Dimension, ...]:
        """What is tuned.

        Raises:
          ValueError: a range or a choice is not usable.
        """
        return parse_space(self.range, self.choice)
