"""The camera and the light of a film, and which OpenGL is taken."""

import os
import subprocess
import sys
import types

import numpy as np
import pytest
from safety_envs.physics.models import gymnasium_model

from espo_jax.results import renderer
from espo_jax.results.episode import Episode
from tests.rendering import can_render

FILMED = """
import numpy as np, mujoco
from safety_envs.physics.models import gymnasium_model
from espo_jax.results import renderer
from tests.espo_jax.results.test_renderer import walk

for name in {names}:
    episode = walk(name)
    model = renderer.lit(episode.model, 160, 120)
    picture, camera, data = renderer.make_renderer(model, 160, 120), renderer.Camera(episode), mujoco.MjData(model)
    moving = model.body_weldid[model.geom_bodyid] != 0
    with picture:
        for t in (0, len(episode.q) - 1):
            data.qpos[:] = episode.q[t]
            mujoco.mj_forward(model, data)
            picture.disable_segmentation_rendering()
            picture.update_scene(data, camera.at(t))
            renderer.add_ground(picture.scene, camera.lowest - 0.01, model)
            brightness = picture.render().mean()
            picture.enable_segmentation_rendering()
            kinds = picture.render()
            robot = (kinds[..., 1] == int(mujoco.mjtObj.mjOBJ_GEOM)) & np.isin(kinds[..., 0], np.flatnonzero(moving))
            rows, columns = np.nonzero(robot.any(axis=1))[0], np.nonzero(robot.any(axis=0))[0]
            edges = rows.min() > 0 and rows.max() < 119 and columns.min() > 0 and columns.max() < 159
            print(name, brightness, max(np.ptp(rows) / 120, np.ptp(columns) / 160), int(edges))
"""
ROBOTS = ("walker2d.xml", "half_cheetah.xml", "ant.xml", "swimmer.xml", "humanoid.xml", "pusher_v5.xml")


def walk(name, states=30):
    """An episode in which a model's joints move a little, and its root, if it has one, 6 m along x."""
    model = gymnasium_model(name)
    q = np.tile(model.qpos0, (states, 1))
    has_root = int(model.jnt_type[0]) in (0, 2)  # free or slide
    if has_root:
        q[:, 0] += np.linspace(0, 6, states)
    q[:, -1] += 0.3 * np.sin(np.arange(states))
    zeros = np.zeros((states - 1, 1))
    return Episode(model=model, dt=0.05, q=q, reward=zeros[:, 0], cost=zeros, velocity=zeros, terminated=False)


@pytest.mark.skipif(not can_render(), reason="needs an off-screen OpenGL")
def test_the_robot_is_bright_whole_and_fills_the_picture_without_mujoco_gl():
    environment = {k: v for k, v in os.environ.items() if k not in ("MUJOCO_GL", "PYOPENGL_PLATFORM")}
    done = subprocess.run(
        [sys.executable, "-c", FILMED.format(names=ROBOTS)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        brightness, share, whole = line.split()[1:]
        assert 70 < float(brightness) < 220, line
        assert float(share) > 0.4, line
        assert whole == "1", line
    assert len(done.stdout.splitlines()) == 2 * len(ROBOTS)


def test_the_camera_follows_without_shaking():
    camera, episode = renderer.Camera(walk("half_cheetah.xml")), walk("half_cheetah.xml")
    x = np.array([camera.at(t).lookat.copy() for t in range(len(episode.q))])
    assert x[-1, 0] - x[0, 0] > 5
    assert np.ptp(x[:, 2]) == 0
    still = renderer.Camera(walk("reacher.xml"))
    assert (still.at(0).lookat == still.at(20).lookat).all()


@pytest.mark.parametrize(("working", "chosen"), [(("egl", "osmesa"), "egl"), (("osmesa",), "osmesa"), ((), None)])
def test_the_first_library_that_works_is_taken(working, chosen, monkeypatch):
    asked, module = [], types.SimpleNamespace(GLContext=None)

    def run(command, env, **_):
        asked.append(env["MUJOCO_GL"])
        return types.SimpleNamespace(stdout="works" if env["MUJOCO_GL"] in working else "")

    monkeypatch.setenv("MUJOCO_GL", "")
    monkeypatch.setattr(renderer.platform, "system", lambda: "Linux")
    monkeypatch.setattr(renderer.subprocess, "run", run)
    monkeypatch.setattr(
        renderer.importlib, "import_module", lambda name: module if "gl_context" in name else
        types.SimpleNamespace(GLContext=name)
    )  # fmt: skip
    renderer.find_opengl()
    assert os.environ["MUJOCO_GL"] == (chosen or "")
    assert module.GLContext == (f"mujoco.{chosen}" if chosen else None)
    assert asked == list(renderer.LIBRARIES[: len(asked)])
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    asked.clear()
    renderer.find_opengl()
    assert asked == []
