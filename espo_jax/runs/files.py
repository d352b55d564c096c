"""Files of a run. They are written whole or not at all, as strict JSON or npz without pickle, and checked when read."""

import contextlib
import hashlib
import io
import json
import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

MAX_JSON_BYTES = 2**24  # a config.json has about 4 kB, a line of metrics.jsonl under 1 kB


class DamagedError(ValueError):
    """A file of a run cannot be used; the message names it and says why."""


def write(path: Path, content: bytes) -> None:
    """Write a file so that its name always has either the old or the new content, never a part.

    Raises:
      OSError: naming the file.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
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


def refuse_links(folder: Path) -> None:
    """Refuse symbolic links in a run's folder, since files in it are written and deleted.

    Raises:
      DamagedError: there is a symbolic link in the folder, outside of the folder of Weights & Biases.
    """
    for entry in folder.rglob("*"):
        if entry.is_symlink() and "wandb" not in entry.relative_to(folder).parts:
            raise DamagedError(f"{entry} is a link: a run directory has none")


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
    return parse_json(_read(path, MAX_JSON_BYTES), str(path))


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
    return content


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read an npz file of uncompressed arrays of numbers. It takes no more memory than the length of the file.

    Raises:
      DamagedError: the file is missing, or holds anything else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            claimed = sum(entry.file_size for entry in entries)
            if claimed > path.stat().st_size or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise ValueError(f"it claims {claimed} bytes of arrays in {path.stat().st_size}")
            return {entry.filename.removesuffix(".npy"): _array(archive.read(entry)) for entry in entries}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise DamagedError(f"{path} cannot be used: {error}") from None


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


def shown(value: Any) -> str:
    """The first 80 characters of a value of a file, for a message."""
    return repr(value)[:80]


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise DamagedError(f"{path} cannot be read ({error.strerror})") from None
    if len(content) > most:
        raise DamagedError(f"{path} is damaged: it is longer than {most} bytes")
    return content


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
