"""Whether MuJoCo's off-screen renderer works here, and with which environment variables."""

import functools
import os
import subprocess
import sys


def render_environment():
    """That of this process, without a choice of OpenGL: the library finds one by itself."""
    return {k: v for k, v in os.environ.items() if k != "MUJOCO_GL"} | {"JAX_PLATFORMS": "cpu"}


@functools.cache
def can_render():
    script = (
        "import mujoco; from espo_jax.results.renderer import make_renderer; "
        "make_renderer(mujoco.MjModel.from_xml_string('<mujoco/>'), 8, 8).render(); print('works')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=render_environment())
    return "works" in done.stdout
