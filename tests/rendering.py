"""Whether MuJoCo's off-screen renderer works here, and with which environment variables."""

import functools
import os
import subprocess
import sys


def render_environment():
    return {**os.environ, "MUJOCO_GL": os.environ.get("MUJOCO_GL", "osmesa"), "JAX_PLATFORMS": "cpu"}


@functools.cache
def can_render():
    script = (
        "import mujoco; mujoco.Renderer(mujoco.MjModel.from_xml_string('<mujoco/>'), 8, 8).render(); print('works')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=render_environment())
    return "works" in done.stdout
