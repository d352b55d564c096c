"""Model files, from the assets of the installed packages or of the user's own."""

import contextlib
import functools
import importlib.resources
import os
import warnings
from pathlib import Path
from unittest import mock

import jax
import mujoco
from brax import base
from brax.io import mjcf


def gymnasium_model(filename: str) -> mujoco.MjModel:
    """A model from the assets of the installed Gymnasium, or of a path; shared, so not to be changed.

    Raises:
      ValueError: the file of a path is missing, or no model.
    """
    with _file(filename, "gymnasium", "envs", "mujoco", "assets") as path:
        return _compiled_model(str(path), path.stat().st_mtime_ns)


@functools.cache
def _compiled_model(path: str, _changed: int) -> mujoco.MjModel:
    """A model; a file that was changed is read again."""
    with _without_deprecations():
        return mujoco.MjModel.from_xml_path(path)


def brax_model(filename: str) -> base.System:
    """A model from the assets of the installed Brax, or of a path."""
    with _file(filename, "brax", "envs", "assets") as path, warnings.catch_warnings(), _without_deprecations():
        # The tasks use Brax for its State/Env types and its physics only, knowing this.
        warnings.filterwarnings("ignore", message="Brax System, piplines and environments are not actively")
        with on_this_host():
            return mjcf.load(path)


@contextlib.contextmanager
def _file(name: str, package: str, *folders: str):
    """The path of a file among the assets of a package, or of the user's own if the name has a folder in it."""
    if os.path.dirname(name):
        if not os.path.isfile(name):
            raise ValueError(f"model is {name}: there is no such file")
        yield Path(name)
        return
    with importlib.resources.as_file(importlib.resources.files(package).joinpath(*folders, name)) as path:
        yield path


@contextlib.contextmanager
def on_this_host():
    """Within this context `mjx.put_model` takes a device of this process.

    It takes the first of `jax.devices()`, which among the processes of `jax.distributed` is one of the first process.
    """
    if jax.process_count() == 1:
        yield
        return
    with mock.patch.object(jax, "devices", jax.local_devices):
        yield


@contextlib.contextmanager
def _without_deprecations():
    """MuJoCo prints, and writes to a log file, that the packages' own models use deprecated attributes."""

    def warn(message: str) -> None:
        if "is deprecated" not in message:
            warnings.warn(message, stacklevel=2)

    previous = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(warn)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(previous)
