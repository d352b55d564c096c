"""Checkpoints of earlier formats, in the form that this version reads."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

# Places in a TrainState that checkpoints of format 2 (espo_jax 0.1.0 before November 24, 2026) do not have.
_ADDED_AFTER_2 = (
    "env_steps.hi", "env_steps.lo", "sample_size", "turn",
    "life_table.visits", "life_table.terminations", "life_table.recent",
)  # fmt: skip


def shapes_of_format_2(shapes: Mapping[str, jax.ShapeDtypeStruct]) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of the arrays of a checkpoint of format 2 by place, from those of this version."""
    kept = {place: shape for place, shape in shapes.items() if place not in _ADDED_AFTER_2}
    counter = jax.ShapeDtypeStruct((), np.int32)
    return {**kept, "env_steps": counter, "num_steps": counter}


def arrays_of_format_2(
    arrays: Mapping[str, np.ndarray], shapes: Mapping[str, jax.ShapeDtypeStruct], settings: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint of format 2 in the form of this version.

    Format 2 counted samples in 32 bits, had the number of time steps of a rollout, and had no life table.
    The life table begins empty.

    Args:
      arrays: arrays of the checkpoint by place.
      shapes: arrays of this version by place.
      settings: settings of the run.
    """
    added = {place: np.zeros(shapes[place].shape, shapes[place].dtype) for place in _ADDED_AFTER_2}
    added["env_steps.lo"] = arrays["env_steps"].astype(np.uint32)
    added["sample_size"] = arrays["num_steps"] * np.int32(settings["num_envs"])
    kept = {place: array for place, array in arrays.items() if place not in ("env_steps", "num_steps")}
    return {**kept, **added}
