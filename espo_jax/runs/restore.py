"""Checkpoints are read back: their sizes are checked before, and their digest after."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from espo_jax.runs import earlier, files
from espo_jax.runs.checkpoints import FORMAT, BestSafe, Restored, is_key, metadata_digest, place, plain, versions
from espo_jax.runs.files import DamagedError
from espo_jax.runs.run_config import EARLIER
from espo_jax.settings import shown

_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")


def restore(path: Path, like: Any, settings: Mapping[str, Any]) -> Restored | None:
    """Read the newest checkpoint that is whole. Damaged ones are passed over; they are renamed, not removed.

    Args:
      path: folder of the checkpoints.
      like: abstract TrainState, from jax.eval_shape of init.
      settings: settings of the run that goes on.

    Returns:
      What was restored; None if there is no checkpoint at all.

    Raises:
      DamagedError: there are checkpoints, but none is whole.
      ValueError: the newest whole checkpoint has another format or other settings; the message names the field.
    """
    found = sorted((int(p.name) for p in path.glob("*") if _NUMBER.fullmatch(p.name) and p.is_dir()), reverse=True)
    passed = _refused_by_orbax([path / str(iteration) for iteration in found])
    for iteration in found:
        folder = path / str(iteration)
        if folder in passed:
            continue
        try:
            metadata, state = _read(folder, like, settings)
            best = _best_safe(metadata, found)
        except DamagedError as error:
            passed[folder] = _why(folder, error)
            continue
        # Rename only now: if there is nothing to go on from, nothing is changed.
        notes = [f"{why}; it is kept as {files.set_aside(folder)}" for folder, why in passed.items()]
        best_state = None
        if best:
            try:
                best_state = _read(path / str(best.iteration), like, settings)[1]
            except DamagedError as error:
                notes.append(f"the best safe checkpoint, {best.iteration}, cannot be used ({error})")
                best = None
        notes += [
            f"checkpoint {iteration} was written with {name} {metadata['versions'].get(name)}, this is {now}: "
            "the rest of the run may differ from what it would have been"
            for name, now in versions().items()
            if metadata["versions"].get(name) != now
        ]
        return Restored(state, iteration, best, best_state, tuple(notes))
    if passed:
        raise DamagedError(f"no checkpoint in {path} can be used: {'; '.join(passed.values())}")
    return None


def _refused_by_orbax(folders: Sequence[Path]) -> dict[Path, str]:
    """Why some checkpoints would stop orbax, which reads this file of each when a run goes on."""
    passed = {}
    for folder in folders:
        try:
            if (folder / "_CHECKPOINT_METADATA").exists():
                files.read_json(folder / "_CHECKPOINT_METADATA")
        except DamagedError as error:
            passed[folder] = _why(folder, error)
    return passed


def _why(folder: Path, error: DamagedError) -> str:
    return f"checkpoint {folder.name} is passed over ({error})"


def _read(folder: Path, like: Any, settings: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """The metadata of a checkpoint, and its TrainState.

    Raises:
      DamagedError: the checkpoint is not whole.
      ValueError: it has another format or other settings.
    """
    metadata = files.read_json(folder / "about" / "metadata")
    _check_settings(folder, metadata, files.strict(settings))
    shapes = _shapes(like)
    is_format_2 = metadata["format"] == 2
    arrays = _read_state(folder / "state", earlier.shapes_of_format_2(shapes) if is_format_2 else shapes)
    if files.digest(arrays) != metadata.get("digest") or metadata.get("iteration") != int(folder.name):
        raise DamagedError("its content is not what was saved")
    if is_format_2:
        arrays = earlier.arrays_of_format_2(arrays, shapes, settings)
    return metadata, from_arrays(arrays, like)


def from_arrays(arrays: Mapping[str, np.ndarray], like: Any) -> Any:
    """The TrainState from the arrays of `to_arrays`, in the form of an abstract TrainState."""

    def leaf(path: Any, abstract: Any) -> jax.Array:
        value = jax.numpy.asarray(arrays[place(path)])
        return jax.random.wrap_key_data(value) if is_key(abstract) else value

    return jax.tree_util.tree_map_with_path(leaf, like)


def _read_state(folder: Path, shapes: Mapping[str, jax.ShapeDtypeStruct]) -> dict[str, np.ndarray]:
    """Read the arrays of a checkpoint, after a check that the files have exactly their sizes.

    Raises:
      DamagedError: a file is missing, has another size, or cannot be read.
    """
    sizes: dict[str, int] = {}
    for abstract in shapes.values():
        sizes[abstract.dtype.name] = sizes.get(abstract.dtype.name, 0) + math.prod(abstract.shape)
    return _unpack({dtype: _read_array(folder / dtype, dtype, size) for dtype, size in sizes.items()}, shapes)


def _unpack(packed: Mapping[str, np.ndarray], shapes: Mapping[str, jax.ShapeDtypeStruct]) -> dict[str, np.ndarray]:
    """Undo `pack`."""
    arrays, begin = {}, dict.fromkeys(packed, 0)
    for name, abstract in sorted(shapes.items()):
        dtype = abstract.dtype.name
        end = begin[dtype] + math.prod(abstract.shape)
        arrays[name] = np.asarray(packed[dtype])[begin[dtype] : end].reshape(abstract.shape)
        begin[dtype] = end
    return arrays


def _read_array(folder: Path, dtype: str, size: int) -> np.ndarray:
    """Read an array [size] in the zarr format that checkpoints have: one uncompressed chunk, whose file is "0"."""
    metadata = files.read_json(folder / ".zarray")
    expected = {
        "shape": [size], "chunks": [size], "compressor": None, "filters": None, "dtype": np.dtype(dtype).str,
    }  # fmt: skip
    for field, value in expected.items():
        if metadata.get(field) != value:
            raise DamagedError(f"{field} of {dtype} is {shown(metadata.get(field))}, not {value}")
    num_bytes = size * np.dtype(dtype).itemsize
    content = files.read(folder / "0", num_bytes)
    if len(content) != num_bytes:
        raise DamagedError(f"{dtype} has {len(content)} bytes, not {num_bytes}")
    return np.frombuffer(content, np.dtype(dtype))


def _check_settings(folder: Path, metadata: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    number = metadata.get("format")
    if metadata.get("metadata_digest", metadata_digest(metadata)) != metadata_digest(metadata):
        raise DamagedError("its metadata are not what was saved")
    if type(number) is int and number not in (2, FORMAT):
        raise ValueError(f"checkpoint {folder} has format {number}: this version reads 2 and {FORMAT}")
    if type(number) is not int or not all(isinstance(metadata.get(name), dict) for name in ("versions", "settings")):
        raise DamagedError("it does not say with what it was written")
    earlier_settings = {name: value for name, value in files.strict(EARLIER).items() if name in settings}
    of_checkpoint = {**earlier_settings, **metadata["settings"]}
    for name in sorted({*of_checkpoint, *settings}):
        saved, wanted = of_checkpoint.get(name), settings.get(name)
        if saved != wanted:
            raise ValueError(f"{name} is {shown(wanted)}: checkpoint {folder} was saved with {shown(saved)}")


def _best_safe(metadata: Mapping[str, Any], found: Sequence[int]) -> BestSafe | None:
    best = metadata.get("best_safe")
    if best is None:
        return None
    if not isinstance(best, dict) or not all(isinstance(best.get(name), int | float) for name in BestSafe._fields):
        raise DamagedError(f"best_safe is {shown(best)}")
    return BestSafe(best["iteration"], best["reward"]) if best["iteration"] in found else None


def _shapes(like: Any) -> dict[str, jax.ShapeDtypeStruct]:
    named, _ = jax.tree_util.tree_flatten_with_path(jax.eval_shape(plain, like))
    return {place(path): leaf for path, leaf in named}
