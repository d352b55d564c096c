"""The parts of Brax's training code that are used here; `safety_envs` comes first, as it silences what Brax prints."""

import safety_envs  # noqa: F401

# isort: split
from brax.training.acme import running_statistics
from brax.training.acme.running_statistics import RunningStatisticsState
from brax.training.types import UInt64

__all__ = ["RunningStatisticsState", "UInt64", "running_statistics"]
