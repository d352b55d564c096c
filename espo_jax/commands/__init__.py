"""What each command of `espo` does with its options; each returns the exit code."""

from espo_jax.commands.results import evaluate, export, plot, render, report, tasks
from espo_jax.commands.training import compare, replay, resume, train

__all__ = ["compare", "evaluate", "export", "plot", "render", "replay", "report", "resume", "tasks", "train"]
