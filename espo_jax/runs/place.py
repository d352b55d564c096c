"""Where a run directory may be, and that one process at a time writes to it."""

import errno
import os
import re
import time
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows has no such lock
    fcntl = None  # type: ignore[assignment]


class MovedError(OSError):
    """The folder of a run is not where it was."""


def default_path(task: str, algorithm: str, seed: int) -> Path:
    """runs/<task>-<algorithm>-seed<seed>-<local time>."""
    return stamped(f"{task}-{algorithm}-seed{seed}")


def stamped(name: str) -> Path:
    """runs/<name>-<local time>."""
    return Path("runs") / f"{file_name(name)}-{time.strftime('%Y%m%d-%H%M%S')}"


def file_name(name: str) -> str:
    """A name in a form that every file system takes: module:name of the user's own code is module.name."""
    return name.replace(":", ".")


class TakenError(FileExistsError):
    """The folder of a new run exists."""


class BusyError(OSError):
    """Another process has locked a folder."""


def rename_to_unused(folder: Path, path: Path) -> None:
    """Rename a folder, unless there is something of that name."""
    try:
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, "it exists")
        folder.rename(path)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise
        raise TakenError(
            f"run directory {path} already exists and is never overwritten; choose another with --run-dir, or go on "
            "with --resume"
        ) from None


def usable(path: Path) -> Path:
    """The path, if orbax can write checkpoints below it."""
    whole = str(path.absolute())
    if re.match(r"[a-z0-9]+:/", str(path)):
        raise ValueError(f"run directory {path} is a URL: it must be a folder of this machine")
    if "\\" in whole and os.sep != "\\":
        raise ValueError(f"run directory {whole} has a backslash: orbax takes it for a separator and writes elsewhere")
    if any(0xD800 <= ord(c) < 0xE000 for c in whole):  # as Python gives a byte that is not UTF-8
        raise ValueError(f"run directory {whole} is not UTF-8, which orbax needs")
    return path


def lock(file: BinaryIO | None, path: Path) -> None:
    """Lock an open file for this process; the lock ends with the process."""
    try:
        if fcntl and file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BusyError(f"run directory {path} is in use by another process") from None
