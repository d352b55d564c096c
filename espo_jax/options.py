"""What each command of `espo` is asked: its options and their defaults; their docstrings are the help."""

import dataclasses
from typing import Annotated

import tyro


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """What a run is of; the rest of its flags are the fields of Config and Hyperparams.

    Args:
      task: what to train on, see `espo tasks`.
      algorithm: what to train with.
      backend: physics, see `espo tasks`.
      reward: "task", what the published agents train on, or "step", with Gymnasium's healthy and control terms.
      preset: where settings that are not given come from.
      seed: of all randomness.
      num_timesteps: stop when this many samples are taken, if that is before num-iterations.
      num_eval_episodes: episodes of an evaluation; 0 leaves all evaluations out.
      eval_interval: iterations between evaluations while training; 0 leaves those out.
      checkpoint_iterations: iterations between checkpoints; 0 is no such interval.
      checkpoint_minutes: minutes between checkpoints; inf is no such interval.
      log: where metrics go beside metrics.jsonl: tensorboard, wandb or both, separated by a comma.
      run_dir: folder to create for the results.
      resume: run directory to go on in, with the settings that it has.
    """

    task: str = "safety_reacher"
    algorithm: str = "espo"
    backend: str | None = None
    reward: str = "task"
    preset: str = "paper"
    seed: int = 0
    num_timesteps: int | None = None
    num_eval_episodes: int = 20
    eval_interval: int = 50
    checkpoint_iterations: int = 0
    checkpoint_minutes: float = 5.0
    log: str = ""
    run_dir: str | None = None
    resume: str | None = None


@dataclasses.dataclass(frozen=True)
class CompareOptions:
    """What a comparison is of; the rest of its flags are the fields of Config and Hyperparams, for all algorithms.

    Args:
      task: what to train on, see `espo tasks`.
      algorithms: what to train with, separated by commas.
      seeds: how many seeds each, vmapped in one program.
      backend: physics, see `espo tasks`.
      reward: "task", what the published agents train on, or "step", with Gymnasium's healthy and control terms.
      preset: where settings that are not given come from, for each algorithm its own.
      log: where each seed's metrics go beside metrics.jsonl: tensorboard, wandb or both, separated by a comma.
      run_dir: folder to create for the results.
    """

    task: str = "safety_reacher"
    algorithms: str = "espo,crpo,pcrpo"
    seeds: int = 3
    backend: str | None = None
    reward: str = "task"
    preset: str = "paper"
    log: str = ""
    run_dir: str | None = None


@dataclasses.dataclass(frozen=True)
class EvalOptions:
    """What to judge.

    Args:
      run_dir: run directory whose policy is judged.
      episodes: of each policy on each physics.
      backend: physics, several separated by commas; the first is what the others are compared with.
      seed: of resets and actions.
      best_safe: judge the best checkpoint within the limits instead of the last policy.
      output: JSON file to write.
    """

    run_dir: tyro.conf.Positional[str]
    episodes: int = 100
    backend: Annotated[str | None, tyro.conf.arg(metavar="STR", help_behavior_hint="(default: that of the run)")] = None
    seed: int = 0
    best_safe: bool = False
    output: Annotated[
        str | None, tyro.conf.arg(metavar="STR", help_behavior_hint="(default: a file in the run directory)")
    ] = None


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """What to write.

    Args:
      run_dir: run directory whose policy is written.
      formats: separated by commas; stablehlo (jax.export) and onnx.
      best_safe: the best checkpoint within the limits instead of the last policy.
      output: folder for the files.
    """

    run_dir: tyro.conf.Positional[str]
    formats: str = "stablehlo"
    best_safe: bool = False
    output: Annotated[str | None, tyro.conf.arg(metavar="STR", help_behavior_hint="(default: the run directory)")] = (
        None
    )


@dataclasses.dataclass(frozen=True)
class PlotOptions:
    """What to draw.

    Args:
      run_dirs: run directories.
      group_by: settings, separated by commas, whose values make the groups that are averaged.
      x: "iteration" or "env_steps".
      output: picture to write; its suffix says which format.
    """

    run_dirs: tyro.conf.Positional[tuple[str, ...]]
    group_by: str = "algorithm"
    x: str = "iteration"
    output: str = "plot.png"


@dataclasses.dataclass(frozen=True)
class ReplayOptions:
    """What to repeat.

    Args:
      run_dir: run directory of the run to repeat.
      num_iterations: how many of its iterations.
    """

    run_dir: tyro.conf.Positional[str]
    num_iterations: Annotated[
        int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="(default: all that it logged)")
    ] = None


@dataclasses.dataclass(frozen=True)
class RenderOptions:
    """What to film.

    Args:
      run_dir: run directory whose policy acts.
      output: film to write, .mp4 or .gif.
      seed: of reset and actions.
      stochastic: sample actions instead of the policy's mean.
      best_safe: the best checkpoint within the limits instead of the last policy.
      steps: control steps at most.
      fps: frames of a second, of simulated time; control steps are left out where there are more.
      width: in pixels.
      height: in pixels.
    """

    run_dir: tyro.conf.Positional[str]
    output: Annotated[
        str | None, tyro.conf.arg(metavar="STR", help_behavior_hint="(default: episode.mp4 in the run directory)")
    ] = None
    seed: int = 0
    stochastic: bool = False
    best_safe: bool = False
    steps: int = 1000
    fps: int = 30
    width: int = 640
    height: int = 480


@dataclasses.dataclass(frozen=True)
class ReportOptions:
    """What to report.

    Args:
      run_dir: run directory.
      output: page to write.
      seed: of the episode that plays in it.
      best_safe: the best checkpoint within the limits plays instead of the last policy.
    """

    run_dir: tyro.conf.Positional[str]
    output: Annotated[
        str | None, tyro.conf.arg(metavar="STR", help_behavior_hint="(default: report.html in the run directory)")
    ] = None
    seed: int = 0
    best_safe: bool = False
