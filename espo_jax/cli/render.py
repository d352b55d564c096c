"""`espo render`: film an episode of the policy of a run."""

import dataclasses
from pathlib import Path

from espo_jax.cli.common import OK, refusing
from espo_jax.cli.flags import parse_options
from espo_jax.results import episode
from espo_jax.results.render import film
from espo_jax.results.task import task_of
from espo_jax.runs import policies
from espo_jax.runs.output import show
from espo_jax.runs.run_config import RunConfig
from espo_jax.settings import MISSING, check_settings, documented, setting


@documented
@dataclasses.dataclass(frozen=True)
class RenderOptions:
    """What to film."""

    run_dir: str = setting(MISSING, "run directory whose policy acts", positional=True)
    output: str | None = setting(None, "film to write, .mp4 or .gif", none="episode.mp4 in the run directory")
    seed: int = setting(0, "seed of reset and actions", range="[0, 2^31)")
    stochastic: bool = setting(False, "whether actions are sampled instead of being the policy's mean")
    best_safe: bool = setting(False, "whether the best checkpoint within the limits acts instead of the last policy")
    steps: int = setting(1000, "largest number of control steps")
    fps: int = setting(
        30, "number of frames in a second of simulated time; control steps are left out if there are more"
    )
    width: int = setting(640, "width of the film in pixels")
    height: int = setting(480, "height of the film in pixels")

    def __post_init__(self) -> None:
        """Check every field."""
        check_settings(self)


def command(argv: list[str]) -> int:
    """Parse the flags and film; returns the exit code."""
    description = "Film an episode of the policy of a run with MuJoCo's renderer, with its cost and velocity."
    return render(parse_options(RenderOptions, argv, "espo render", description))


def render(options: RenderOptions) -> int:
    """Film an episode of the policy of a run; returns the exit code.

    Raises:
      BadInputError: the run or an option is not usable, or nothing can render here.
    """
    with refusing():
        path = Path(options.run_dir)
        env = task_of(RunConfig.read(path))
        config, networks, params = policies.load(path, best_safe=options.best_safe)
        output = Path(options.output or path / "episode.mp4")
        seen = episode.record(
            env, networks, config, params, seed=options.seed, deterministic=not options.stochastic, steps=options.steps
        )
        count = film(seen, output, fps=options.fps, width=options.width, height=options.height)
    reward, cost = seen.reward.sum(), ", ".join(f"{total:.4g}" for total in seen.cost.sum(axis=0))
    show(f"{output}: {count} frames of {len(seen.reward)} steps, reward {reward:.4g}, cost {cost}")
    return OK
