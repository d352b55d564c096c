"""Data of the episode that plays in a run's web page: outlines of the robot's parts, and what the policy collects."""

from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from espo_jax.results import episode
from espo_jax.results.read import Run
from espo_jax.results.task import task_of
from espo_jax.runs import policies
from espo_jax.runs.colors import GROUP_COLORS

_MOST_FRAMES = 600
_KINDS = {
    int(mujoco.mjtGeom.mjGEOM_SPHERE): "sphere",
    int(mujoco.mjtGeom.mjGEOM_CAPSULE): "capsule",
    int(mujoco.mjtGeom.mjGEOM_CYLINDER): "capsule",
    int(mujoco.mjtGeom.mjGEOM_ELLIPSOID): "sphere",
}
# Directions of the page's right and up in the world. Robots that walk along x are seen from the side.
_VIEWS = {"side": ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0)), "above": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))}
_SEEN_FROM_ABOVE = ("reacher", "pusher", "swimmer")


def played_episode(
    run: Run, run_dir: Path, *, seed: int, best_safe: bool, seconds: float, env: Any = None
) -> dict[str, Any] | None:
    """Outlines of the geoms for each frame, in millimetres, in the plane of the page; None without a model.

    Args:
      run: the run.
      run_dir: its folder.
      seed: seed of the reset.
      best_safe: whether the best checkpoint within the limits plays instead of the last policy.
      seconds: largest length in seconds of simulated time.
      env: environment to use in place of the run's task.
    """
    if env is None:
        env = task_of(run.config)
    if not hasattr(env, "task"):
        return None
    config, networks, params = policies.load(run_dir, best_safe=best_safe)
    limit = config.episode_length or env.episode_length
    steps = max(1, round(seconds / env.dt))
    seen = episode.record(env, networks, config, params, seed=seed, steps=steps)
    position, axis = seen.geom_poses()
    model = seen.model
    shown = [g for g in range(model.ngeom) if int(model.geom_type[g]) in _KINDS and model.geom_rgba[g, 3] > 0]
    stride = -(-len(position) // _MOST_FRAMES)
    view = "above" if any(name in env.task.model for name in _SEEN_FROM_ABOVE) else "side"
    plane = np.array(_VIEWS[view])
    half = np.array([model.geom_size[g, 1] if _KINDS[int(model.geom_type[g])] == "capsule" else 0.0 for g in shown])
    arm = half[None, :, None] * axis[::stride, shown]
    ends = [np.einsum("tgi,pi->tgp", position[::stride, shown] + sign * arm, plane) for sign in (-1, 1)]
    outline = np.rint(1000 * np.concatenate(ends, axis=-1)).astype(int)  # [F, G, x1 y1 x2 y2]
    start = np.zeros((1, seen.cost.shape[1]))
    return {
        "view": view,
        "policy": "best safe" if best_safe else "last",
        "colors": GROUP_COLORS[:-1],
        "whole": None if seen.terminated or len(seen.reward) == limit else round(limit * seen.dt, 2),
        "limit": np.atleast_1d(run.records[-1]["cost_limit"]).tolist(),
        "seconds": (np.arange(0, len(position), stride) * seen.dt).round(4).tolist(),
        "radius": [round(1000 * float(model.geom_size[g, 0])) for g in shown],
        "frames": outline.reshape(len(outline), -1).tolist(),
        "reward": np.concatenate([[0.0], np.cumsum(seen.reward)])[::stride].round(3).tolist(),
        "cost": np.concatenate([start, np.cumsum(seen.cost, axis=0)])[::stride].round(3).tolist(),
        "velocity": np.concatenate([[0.0], seen.speed])[::stride].round(3).tolist(),
    }
