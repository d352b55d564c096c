"""The physics a task can run on."""

from safety_envs.physics.brax_pipelines import PIPELINES, BraxPipeline
from safety_envs.physics.mujoco_engine import MujocoEngine
from safety_envs.physics.types import Physics, PhysicsState
from safety_envs.physics.warp_engine import WarpEngine
from safety_envs.task import Task

BACKENDS = (*PIPELINES, "warp", "mujoco")

__all__ = ["BACKENDS", "Physics", "PhysicsState", "load_physics"]


def load_physics(task: Task, backend: str) -> Physics:
    """The task's physics on one backend.

    Raises:
      ValueError: an unknown backend, or one that cannot run the task; the message says why.
    """
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}; known backends: {', '.join(BACKENDS)}")
    if backend in task.refused:
        able = ", ".join(b for b in BACKENDS if b not in task.refused)
        raise ValueError(f"{task.name} cannot run on backend {backend!r}: {task.refused[backend]}; use one of {able}")
    if backend == "mujoco":
        return MujocoEngine(task)
    return WarpEngine(task) if backend == "warp" else BraxPipeline(task, backend)
