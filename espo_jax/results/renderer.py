"""MuJoCo's off-screen renderer with whichever OpenGL works here, and a scene in which the robot is seen well."""

import importlib
import os
import platform
import subprocess
import sys
from typing import Any

import mujoco
import numpy as np

from espo_jax.results.episode import Episode

# EGL renders on a GPU, or by Mesa on a CPU; OSMesa on a CPU only; GLFW needs a screen.
LIBRARIES = ("egl", "osmesa", "glfw")
_PROBE = "import mujoco; mujoco.Renderer(mujoco.MjModel.from_xml_string('<mujoco/>'), 8, 8).render(); print('works')"
_LONG = (int(mujoco.mjtGeom.mjGEOM_CAPSULE), int(mujoco.mjtGeom.mjGEOM_CYLINDER))
_FIELD_OF_VIEW = 45.0  # degrees, vertical
_ROOM = 1.12  # of the picture's height, for a robot of height 1
_SMOOTHING = 0.6  # seconds over which the camera's path is averaged, so that it does not shake with the robot
_FLOOR, _GROUND = np.array([138, 147, 158]), [0.72, 0.76, 0.80, 1.0]


def find_opengl() -> None:
    """Choose an OpenGL that works where MUJOCO_GL is not set, and set it; each is tried in a process of its own.

    A library that fails can end the process or spoil it for the next one, and MuJoCo chooses when it is imported.
    """
    if os.environ.get("MUJOCO_GL") or platform.system() != "Linux":
        return
    for name in LIBRARIES:
        environment = {**os.environ, "MUJOCO_GL": name}
        try:
            done = subprocess.run(
                [sys.executable, "-c", _PROBE], env=environment, capture_output=True, text=True, timeout=60
            )
        except subprocess.TimeoutExpired:
            continue
        if "works" in done.stdout:
            os.environ["MUJOCO_GL"] = name
            chosen: Any = importlib.import_module("mujoco.rendering.classic.gl_context")
            chosen.GLContext = importlib.import_module(f"mujoco.{name}").GLContext
            return


def make_renderer(model: mujoco.MjModel, width: int, height: int) -> mujoco.Renderer:
    """A renderer of pictures [height, width, 3].

    Raises:
      ValueError: no OpenGL works here.
    """
    find_opengl()
    try:
        return mujoco.Renderer(model, height, width)
    except Exception as error:  # the OpenGL libraries raise many types
        given = os.environ.get("MUJOCO_GL")
        tried = f"MUJOCO_GL is {given}" if given else f"MUJOCO_GL is not set, and none of {', '.join(LIBRARIES)} works"
        raise ValueError(
            f"MuJoCo cannot render here ({type(error).__name__}: {error}); {tried}: install libegl1 or libosmesa6"
        ) from None


def lit(model: mujoco.MjModel, width: int, height: int) -> mujoco.MjModel:
    """A copy of a model for pictures of a size: light from the camera, and a floor of little contrast."""
    model = model.__copy__()
    # The models' own off-screen buffers are 640 x 480.
    model.vis.global_.offwidth, model.vis.global_.offheight = max(width, 640), max(height, 480)
    model.vis.global_.fovy = _FIELD_OF_VIEW
    model.vis.headlight.active = 1
    # A model without lights has the camera's only.
    model.vis.headlight.ambient[:], model.vis.headlight.diffuse[:] = (0.3, 0.35) if model.nlight else (0.5, 0.7)
    model.vis.headlight.specular[:] = 0.1
    for geom in np.flatnonzero(model.geom_type == int(mujoco.mjtGeom.mjGEOM_PLANE)):
        material = model.geom_matid[geom]
        textures = model.mat_texid[material][model.mat_texid[material] >= 0] if material >= 0 else []
        for texture in textures:
            start = model.tex_adr[texture]
            size = model.tex_height[texture] * model.tex_width[texture] * model.tex_nchannel[texture]
            pixels = model.tex_data[start : start + size].reshape(-1, model.tex_nchannel[texture])
            pixels[:, :3] = np.clip(_FLOOR + 0.2 * (pixels[:, :3].astype(float) - 128), 0, 255)
        if material < 0:
            model.geom_rgba[geom] = [*_FLOOR / 255, 1.0]
        else:
            model.mat_reflectance[material] = 0.0
            model.mat_rgba[material] = 1.0
    return model


class Camera:
    """A camera that follows the robot and whose picture the robot fills.

    Robots that stay low, such as swimmers and arms on a table, are seen from above, others from the side.
    """

    def __init__(self, episode: Episode):
        """Finds the robot's place and size in all states of an episode."""
        model = episode.model
        moving = np.flatnonzero((model.body_weldid[model.geom_bodyid] != 0) & (model.geom_rgba[:, 3] > 0))
        moving = moving if moving.size else np.arange(model.ngeom)
        position, axis = (each[:, moving] for each in episode.geom_poses())
        long = np.isin(model.geom_type[moving], _LONG)
        arm = np.where(long, model.geom_size[moving, 1], 0.0)[:, None] * axis
        thick = np.where(long, model.geom_size[moving, 0], model.geom_rbound[moving])[:, None]
        low = (np.minimum(position - arm, position + arm) - thick).min(axis=1)  # [T + 1, 3]
        high = (np.maximum(position - arm, position + arm) + thick).max(axis=1)
        size, middle = high - low, (low + high) / 2
        whole = high.max(axis=0) - low.min(axis=0)
        if np.linalg.norm(whole) < 1.6 * np.linalg.norm(size.max(axis=0)):  # it stays in its place
            size, self._path = whole[None], np.broadcast_to((low.min(axis=0) + high.max(axis=0)) / 2, middle.shape)
        else:
            self._path = _smooth(middle, max(1, round(_SMOOTHING / episode.dt)))
            self._path[:, 2] = middle[:, 2].mean()
        radius = np.linalg.norm(np.quantile(size, 0.95, axis=0)) / 2
        from_above = size[:, 2].max() < 0.4 * size[:, :2].max()
        planar = size[:, 1].max() < 0.5 * size[:, 0].max()
        self.lowest = float(min(0.0, low[:, 2].min()))
        self._camera = mujoco.MjvCamera()
        self._camera.distance = _ROOM * radius / np.sin(np.deg2rad(_FIELD_OF_VIEW / 2))
        has_sky = _has_sky(model)
        self._camera.elevation = -60 if from_above else -40 if not has_sky else -10 if planar else -18
        self._camera.azimuth = 90 if from_above or planar else 115

    def at(self, time: int) -> mujoco.MjvCamera:
        """The camera at state number `time` of the episode."""
        self._camera.lookat[:] = self._path[time]
        return self._camera


def add_ground(scene: mujoco.MjvScene, height: float, model: mujoco.MjModel) -> None:
    """Put a wide ground below a model without a sky, whose background would be black."""
    if _has_sky(model) or scene.ngeom >= scene.maxgeom:
        return
    ground = scene.geoms[scene.ngeom]
    mujoco.mjv_initGeom(
        ground, mujoco.mjtGeom.mjGEOM_PLANE, np.array([50.0, 50.0, 1.0]), np.array([0.0, 0.0, height]),
        np.eye(3).ravel(), np.array(_GROUND, np.float32),
    )  # fmt: skip
    ground.category, ground.objtype = mujoco.mjtCatBit.mjCAT_DECOR, mujoco.mjtObj.mjOBJ_UNKNOWN
    ground.objid, ground.segid = -1, scene.ngeom  # which mjv_initGeom leaves as they were
    scene.ngeom += 1


def _has_sky(model: mujoco.MjModel) -> bool:
    return bool((model.tex_type == int(mujoco.mjtTexture.mjTEXTURE_SKYBOX)).any())


def _smooth(path: np.ndarray, window: int) -> np.ndarray:
    """[T, 3] averaged over windows of so many states around each, which are shorter at the ends."""
    sums = np.concatenate([np.zeros((1, path.shape[1])), np.cumsum(path, axis=0)])
    time = np.arange(len(path))
    half = np.minimum(np.minimum(time, time[::-1]), window // 2)  # a window to one side would lag behind the robot
    return (sums[time + half + 1] - sums[time - half]) / (2 * half + 1)[:, None]
