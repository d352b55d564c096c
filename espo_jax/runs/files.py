"""Files of a run. They are written whole or not at all, as strict JSON or npz without pickle, and checked when read."""

import contextlib
import errno
import hashlib
import io
import json
import math
import os
import stat
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import jax
import numpy as np

MAX_JSON_BYTES = 2**24  # a config.json has about 4 kB, a line of metrics.jsonl under 1 kB
MAX_ARRAYS_BYTES = 2**30  # networks of two layers of 64 units take 100 kB
_MAX_DEPTH = 32  # of lists and objects in JSON; what this version writes has 4


class DamagedError(ValueError):
    """A file of a run cannot be used; the message names it and says why."""


def write(path: Path, content: bytes) -> None:
    """Write a file so that its name always has either the old or the new content, never a part.

    Raises:
      OSError: naming the file.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise OSError(errno.EINVAL, "a device or a pipe, which would be replaced by a file")
        temporary.unlink(missing_ok=True)  # a killed process left it, or it is a link to a file of somebody else
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise OSError(f"cannot write {path} ({error.strerror})") from error


def refuse_special(folder: Path) -> None:
    """Refuse links, pipes, sockets and devices in a run's folder, since files in it are read, written and deleted.

    Raises:
      DamagedError: there is such an entry in the folder, outside of the folder of Weights & Biases.
    """
    for entry in folder.rglob("*"):
        if "wandb" not in entry.relative_to(folder).parts:
            refuse_kind(entry, entry.lstat().st_mode, folders=True)


def refuse_kind(path: Path, mode: int, *, folders: bool = False) -> None:
    """Refuse what is neither a regular file nor, if they are allowed, a folder.

    Args:
      path: path, for the message.
      mode: st_mode of what is there.
      folders: whether a folder is allowed.

    Raises:
      DamagedError: naming the path and the kind.
    """
    if stat.S_ISLNK(mode):
        raise DamagedError(f"{path} is a link: a run directory has none")
    if not stat.S_ISREG(mode) and not (folders and stat.S_ISDIR(mode)):
        raise DamagedError(f"{path} is not a regular file: a run directory has only files and folders")


def open_regular(path: Path, most: int) -> BinaryIO:
    """Open a file to read. Every reader of a run's files comes through here; a pipe or a device cannot stop it.

    Args:
      path: path of the file.
      most: largest size of the file in bytes.

    Raises:
      DamagedError: it is missing, a link, no regular file, or larger.
    """
    try:
        refuse_kind(path, path.lstat().st_mode)
        # Should it have been replaced since: without waiting for the other end of a pipe, and without following a link.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
        file = os.fdopen(os.open(path, flags), "rb")
    except OSError as error:
        raise DamagedError(f"{path} cannot be read ({error.strerror})") from None
    with contextlib.ExitStack() as closing:
        closing.enter_context(file)
        about = os.fstat(file.fileno())
        refuse_kind(path, about.st_mode)
        if about.st_size > most:
            raise DamagedError(f"{path} is damaged: it has {about.st_size} bytes, more than {most}")
        closing.pop_all()
    return file


def read(path: Path, most: int) -> bytes:
    """The content of a file of at most so many bytes.

    Raises:
      DamagedError: see `open_regular`.
    """
    with open_regular(path, most) as file:
        return file.read(most)


def copy_aside(path: Path) -> None:
    """Copy a file that cannot be read as a whole, before another content takes its name."""
    with open_regular(path, 2**40) as file:
        write(unused(path.with_name(f"damaged-{path.stem}-{_stamp()}{path.suffix}")), file.read())


def set_aside(folder: Path) -> Path:
    """Rename a folder that is damaged, so that its name can be written again; returns the new path."""
    return folder.rename(unused(folder.with_name(f"damaged-{folder.name}-{_stamp()}")))


def unused(path: Path) -> Path:
    """The path, or if it is taken path-2, path-3, ...: the first that is not."""
    taken, number = path, 1
    while os.path.lexists(taken):
        number += 1
        taken = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return taken


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file of strict JSON."""
    write(path, (json.dumps(strict(content), indent=2, allow_nan=False) + "\n").encode())


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an npz file of arrays by name."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # its stub takes one of the arrays for allow_pickle
    write(path, buffer.getvalue())


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Raises:
      DamagedError: the file is missing, too large, or holds something else.
    """
    return parse_json(read(path, MAX_JSON_BYTES), str(path))


def parse_json(text: bytes, name: str) -> dict[str, Any]:
    """Parse one JSON object.

    Raises:
      DamagedError: the text is something else; the message begins with `name`.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        content = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{name} is damaged: it is not valid JSON ({error})") from None
    if not isinstance(content, dict):
        raise DamagedError(f"{name} is damaged: it holds no JSON object")
    if _is_deeper(content, _MAX_DEPTH):
        raise DamagedError(f"{name} is damaged: its lists and objects are nested more than {_MAX_DEPTH} deep")
    return content


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read an npz file of uncompressed arrays of numbers. It takes no more memory than the length of the file.

    Raises:
      DamagedError: the file is missing, or holds anything else.
    """
    with open_regular(path, MAX_ARRAYS_BYTES) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
                claimed = sum(entry.file_size for entry in entries)
                if claimed > size or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                    raise ValueError(f"it claims {claimed} bytes of arrays in {size}")
                return {entry.filename.removesuffix(".npy"): _array(archive.read(entry)) for entry in entries}
        except Exception as error:  # zipfile and the parser of headers in NumPy raise many types for what is not theirs
            raise DamagedError(f"{path} cannot be used: {str(error) or type(error).__name__}") from None


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of arrays, their names, types and shapes."""
    total = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        total.update(f"{name} {array.dtype.str} {array.shape}".encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def strict(value: Any) -> Any:
    """The value in strict JSON: infinities become "inf" and "-inf" (float() reads both), nan becomes null."""
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return strict(np.asarray(value).tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def infinities(value: Any) -> Any:
    """The value from strict JSON: "inf" and "-inf" become numbers again."""
    if isinstance(value, dict):
        return {key: infinities(item) for key, item in value.items()}
    if isinstance(value, list):
        return [infinities(item) for item in value]
    return float(value) if value in ("inf", "-inf") else value


def _is_deeper(value: Any, depth: int) -> bool:
    """Whether lists and objects are nested deeper than so much."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth < 0 or any(_is_deeper(item, depth - 1) for item in inner)


def _stamp() -> str:
    return time.strftime("%Y%m%d-%H%M%S")


def _array(content: bytes) -> np.ndarray:
    """Read an array in the npy format from memory."""
    stream = io.BytesIO(content)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(stream)
    if version not in readers:
        raise ValueError(f"version {version} of the npy format is not read")
    shape, fortran, dtype = readers[version](stream)
    if dtype.kind not in "biufc":
        raise ValueError(f"an array of {dtype} is not one of numbers")
    values = np.frombuffer(stream.read(), dtype)
    if math.prod(shape) != values.size or any(n < 0 for n in shape):
        raise ValueError(f"an array claims shape {shape} with {values.size} numbers")
    return values.reshape(shape, order="F" if fortran else "C")
