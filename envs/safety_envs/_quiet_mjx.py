"""Imports `mujoco.mjx` without its two lines about the optional warp package.

`mujoco/mjx/warp/__init__.py`, which Brax imports, prints "Failed to import warp ..." when warp is absent.
Anything else printed during the import is passed on.
"""

import contextlib
import io
import sys

with contextlib.redirect_stdout(io.StringIO()) as _printed:
    import mujoco.mjx  # noqa: F401

sys.stdout.writelines(
    line for line in _printed.getvalue().splitlines(keepends=True) if not line.startswith("Failed to import ")
)
