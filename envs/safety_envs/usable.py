"""What is often mistaken for an environment that can be trained on is refused, with what to use instead."""

from typing import Any

from brax.envs.base import Wrapper
from brax.envs.wrappers import training

from safety_envs.auto_reset import AutoResetWrapper
from safety_envs.episode import EpisodeWrapper

_WRAPPING = (
    AutoResetWrapper,
    EpisodeWrapper,
    training.AutoResetWrapper,
    training.EpisodeWrapper,
    training.VmapWrapper,
    training.DomainRandomizationVmapWrapper,
)


def require_usable(env: Any) -> None:
    """Refuse what has another interface than a Brax environment that is not vectorised.

    Raises:
      ValueError: naming what it is, and what to use instead.
    """
    name = type(env).__name__
    if hasattr(env, "action_space"):
        raise ValueError(
            f"{name} is a Gymnasium environment, which steps NumPy arrays on the host: give one with Brax's reset and "
            "step. safety_envs.make has Gymnasium's MuJoCo tasks, and a safety_envs.Task makes one of a MuJoCo model "
            "of your own (docs/environments.md)"
        )
    if hasattr(env, "mjx_model") and not hasattr(env, "sys"):
        raise ValueError(
            f"{name} is a MuJoCo Playground environment: give "
            "SafetyWrapper(safety_envs.playground.from_playground(env), cost_fn)"
        )
    if isinstance(env, type) or not (hasattr(env, "reset") and hasattr(env, "step")):
        called = ": call it, or give its name, module:function" if callable(env) else ""
        raise ValueError(f"{name} is no environment: it has no reset and step{called}")
    while isinstance(env, Wrapper):
        if isinstance(env, _WRAPPING):
            raise ValueError(
                f"the environment is wrapped in {type(env).__name__} already: give the environment itself. It is "
                "vectorised, gets its time limit and is reset by the algorithm (num_envs, episode_length)"
            )
        env = env.env
