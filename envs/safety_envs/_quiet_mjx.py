"""Imports `mujoco.mjx` without its lines about the optional warp package.

`mujoco/mjx/warp/__init__.py`, which Brax imports, prints "Failed to import warp ..." when warp is absent. When it is
there, it prints its devices and every kernel that it compiles to standard output, which scripts read.
Anything else printed during the import is passed on.
"""

import contextlib
import io

with contextlib.suppress(ImportError, RuntimeError):  # as mujoco.mjx itself does
    import warp

    warp.config.log_level = max(warp.config.log_level, warp.LOG_ERROR)

with contextlib.redirect_stdout(io.StringIO()) as _printed:
    import mujoco.mjx  # noqa: F401

_lines = _printed.getvalue().splitlines(keepends=True)
for _line in _lines:
    if not _line.startswith("Failed to import "):
        with contextlib.suppress(OSError):  # standard output may be a pipe that nobody reads any more
            print(_line, end="")
