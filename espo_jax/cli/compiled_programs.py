"""Compiled programs are kept in the user's cache folder, so that the next run of the same sizes starts in seconds."""

import contextlib
import hashlib
import importlib
import os
import platform
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from espo_jax.runs.processor import processor

_MOST_BYTES = 2**31  # of all programs together
_SHORTEST = 0.1  # seconds of compilation of a program that is worth a file
_SUFFIX, _CHECKED = "-cache", ".checked"
_ZSTANDARD = b"\x28\xb5\x2f\xfd"


def keep(jax: Any) -> None:
    """Let JAX keep what it compiles, unless the user has said where to (JAX_COMPILATION_CACHE_DIR) or not to.

    JAX_ENABLE_COMPILATION_CACHE=false keeps nothing. A folder that cannot be written to is passed over.

    Args:
      jax: the module.
    """
    if jax.config.jax_compilation_cache_dir or not jax.config.jax_enable_compilation_cache:
        return
    try:
        path = folder()
        path.mkdir(parents=True, exist_ok=True)
        _tidy(path)
    except (OSError, RuntimeError):  # the second where the user has no home folder
        return
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _SHORTEST)


def folder() -> Path:
    """The folder for this kind of processor, whose instructions a program for a CPU may use."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    base = given if given.is_absolute() else Path.home() / ".cache"  # the specification ignores relative paths
    return base / "espo_jax" / hashlib.sha256(_processor().encode()).hexdigest()[:16]


def _processor() -> str:
    """What kind of processor this is."""
    if said := processor():
        return said.get("model name", "") + said.get("flags", said.get("Features", ""))
    return platform.machine() + platform.processor()


def _tidy(path: Path) -> None:
    """Remove programs that a killed process left half written, and those that were not used for longest.

    JAX would warn of the first at every start, and never write them again. Only those that are newer than the last
    look are read.
    """
    marker = path / _CHECKED
    checked = marker.stat().st_mtime if marker.exists() else 0.0
    for file, status in _programs(path):
        if status.st_mtime >= checked and not _is_whole(file):
            file.unlink(missing_ok=True)
    marker.touch()
    # Reading moves the time of access, where the file system keeps it.
    kept = sorted(_programs(path), key=lambda each: max(each[1].st_atime, each[1].st_mtime), reverse=True)
    total = 0
    for file, status in kept:
        total += status.st_size
        if total > _MOST_BYTES:
            file.unlink(missing_ok=True)


def _programs(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for file in path.glob(f"*{_SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):  # another process tidies too
            yield file, file.stat()


def _is_whole(file: Path) -> bool:
    """Whether a compressed program has its end."""
    try:
        content = file.read_bytes()
        _decompress(content)
    except FileNotFoundError:
        return True
    except Exception:  # each compression has an error of its own
        return False
    return True


def _decompress(content: bytes) -> bytes:
    """What JAX compressed, with the package that it found."""
    if not content.startswith(_ZSTANDARD):
        return zlib.decompress(content)
    for name in ("compression.zstd", "zstandard"):
        with contextlib.suppress(ImportError):
            return importlib.import_module(name).decompress(content)
    return content
