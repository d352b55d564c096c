"""A run's folder: config.json, metrics.jsonl, policy.npz, result.json, curves.png; strict JSON and no pickle."""

import io
import json
import math
import platform
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import flax.serialization
import flax.traverse_util
import jax
import numpy as np

from espo_jax import modes, normalize
from espo_jax.algorithms.types import Metrics

PACKAGES = ("espo_jax", "jax", "jaxlib", "flax", "optax", "brax", "mujoco", "mujoco-mjx", "numpy")


class RunDirectory:
    """A folder that this run alone writes to.

    Attributes:
      path: the folder.
      records: what metrics.jsonl holds so far, one dict per iteration (see `record`).
    """

    def __init__(self, path: str | Path, *, metrics: bool = True):
        """Creates the folder, and its parents where needed; with metrics.jsonl if it is to have metrics.

        Raises:
          FileExistsError: it exists; nothing in it is touched.
          OSError: it cannot be made or written to.
        """
        self.path = Path(path)
        self.records: list[dict[str, Any]] = []
        try:
            self.path.mkdir(parents=True)
            self._metrics = (self.path / "metrics.jsonl").open("x", encoding="utf-8") if metrics else io.StringIO()
        except FileExistsError:
            raise FileExistsError(
                f"run directory {self.path} already exists and is never overwritten; choose another with --run-dir"
            ) from None
        except OSError as error:
            raise OSError(
                f"cannot write to run directory {self.path} ({error.strerror}); choose another with --run-dir"
            ) from None

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a file of strict JSON."""
        (self.path / name).write_text(json.dumps(strict(content), indent=2, allow_nan=False) + "\n", encoding="utf-8")

    def append(self, record: dict[str, Any]) -> None:
        """Add one line to metrics.jsonl; it is on its way to the disk when this returns."""
        self.records.append(record)
        self._metrics.write(json.dumps(strict(record), allow_nan=False) + "\n")
        self._metrics.flush()

    def save_params(self, params: tuple[Any, Any, Any]) -> None:
        """Write policy.npz: arrays named by their place, such as normalizer/mean and policy/params/log_std."""
        normalizer, policy, critics = params
        tree = flax.serialization.to_state_dict({"normalizer": normalizer, "policy": policy, "critics": critics})
        flat = flax.traverse_util.flatten_dict(tree, sep="/")
        arrays: dict[str, Any] = {name: np.asarray(value) for name, value in flat.items()}
        np.savez(self.path / "policy.npz", **arrays)

    def close(self) -> None:
        """Close metrics.jsonl."""
        self._metrics.close()


def load_params(run_dir: str | Path) -> tuple[Any, Any, Any]:
    """Read policy.npz: (normalizer, policy, critics), for the algorithm's make_inference_fn."""
    with np.load(Path(run_dir) / "policy.npz", allow_pickle=False) as arrays:
        tree = flax.traverse_util.unflatten_dict({name: arrays[name] for name in arrays.files}, sep="/")
    empty = normalize.init(tree["normalizer"]["mean"].shape[-1])
    normalizer = flax.serialization.from_state_dict(empty, tree["normalizer"])
    return jax.tree.map(jax.numpy.asarray, (normalizer, tree["policy"], tree["critics"]))


def default_path(task: str, algorithm: str, seed: int) -> Path:
    """runs/<task>-<algorithm>-seed<seed>-<local time>."""
    return Path("runs") / f"{task}-{algorithm}-seed{seed}-{time.strftime('%Y%m%d-%H%M%S')}"


def record(metrics: Metrics, seconds: float) -> dict[str, Any]:
    """An iteration as a line of metrics.jsonl.

    Every field of Metrics under its name, a number or a list [K]; but mode by name, mode_counts by mode name, and
    steps_per_second in addition.
    """
    line = {name: np.asarray(value).squeeze().tolist() for name, value in metrics._asdict().items()}
    line["mode"] = modes.MODE_NAMES[line["mode"]]
    line["mode_counts"] = dict(zip(modes.MODE_NAMES, line["mode_counts"], strict=True))
    return {**line, "steps_per_second": line["sample_size"] / seconds}


def surroundings() -> dict[str, Any]:
    """What a run's numbers depend on beside its settings: versions and device."""
    device = jax.devices()[0]
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "device": {"platform": device.platform, "kind": device.device_kind, "count": jax.device_count()},
        "machine": f"{platform.system()} {platform.machine()}",
        "command": sys.argv,
    }


def strict(value: Any) -> Any:
    """The same in what JSON can say: infinities as "inf" and "-inf" (float() reads both), nan as null."""
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return strict(np.asarray(value).tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value
