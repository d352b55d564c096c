"""The options of a run: all its settings except for the fields of Config and Hyperparams."""

import dataclasses
from pathlib import Path

import safety_envs

from espo_jax.algorithms import RULES
from espo_jax.environments import parse_options, written_options
from espo_jax.evaluation import MOST_EPISODES
from espo_jax.settings import check_settings, documented, setting


@documented
@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """Options of everything that trains on a task."""

    task: str = setting(
        "safety_reacher", "task: one of `espo tasks`, or module:function of your own code that makes an environment"
    )
    env: tuple[str, ...] = setting(
        (), "option of the task, name=value, such as goal_velocity=1.0", repeated=True, earlier=()
    )
    backend: str | None = setting(
        None,
        f"physics of the task: {', '.join(safety_envs.BACKENDS)}, or another one that your own environment has",
        none="mujoco on a CPU, exact physics that run there on an accelerator",
    )
    reward: str | None = setting(
        "task",
        "reward of the task: `task` is what the published agents train on, `step` adds the healthy and control terms "
        "of Gymnasium",
    )
    preset: str | None = setting(
        "paper", "settings that fill in what is not given: paper, the published ones, or none, the library's defaults"
    )
    init_from: str | None = setting(
        None,
        "run directory whose policy, critics and normaliser the training begins with; all settings but the sizes of "
        "the networks are free to change",
        none="random networks",
        earlier=None,
    )
    log: str = setting(
        "",
        "loggers beside metrics.jsonl, separated by commas: tensorboard, wandb",
        recorded=False,
        changeable=True,
    )
    run_dir: str | None = setting(
        None, "folder that is created for the results", none="a new one in runs/", recorded=False
    )

    def __post_init__(self) -> None:
        """Check every field."""
        check_settings(self)
        if self.init_from is not None:  # the run may go on from another folder
            object.__setattr__(self, "init_from", str(Path(self.init_from).absolute()))
        object.__setattr__(self, "env", written_options(parse_options(self.env)))  # equal options are equal

    @property
    def environment(self) -> tuple[str, str | None, str | None, tuple[str, ...]]:
        """What `named_env` makes the environment from."""
        return self.task, self.backend, self.reward, self.env


@documented
@dataclasses.dataclass(frozen=True)
class RunOptions(TrainingOptions):
    """Options of one run; an option that is not given has the default that is declared here.

    Raises:
      ValueError: naming the field, its value and what is allowed.
    """

    algorithm: str = setting("espo", f"algorithm: {', '.join(RULES)}, or module:RULE of your own code")
    seed: int = setting(0, "seed of all randomness", range="[0, 2^31)")
    num_timesteps: int | None = setting(
        None,
        "number of samples after which the run stops, if that is before num_iterations",
        range="[1, 2^63)",
        none="no such limit",
        changeable=True,
    )
    num_eval_episodes: int = setting(
        20,
        "number of episodes of an evaluation; 0 disables all evaluations",
        range=f"[0, {MOST_EPISODES}]",
        changeable=True,
    )
    eval_interval: int = setting(
        50,
        "number of iterations between evaluations during training; 0 disables them",
        range="[0, 2^31)",
        changeable=True,
    )
    devices: int = setting(
        1,
        "number of devices of this machine that the environments are spread over; it must divide num_envs",
        changeable=True,
        earlier=1,
    )
    checkpoint_iterations: int = setting(
        0, "number of iterations between checkpoints; 0 disables this interval", range="[0, 2^31)", changeable=True
    )
    checkpoint_minutes: float = setting(
        5.0, "number of minutes between checkpoints; inf disables this interval", range="(0, inf]", changeable=True
    )
