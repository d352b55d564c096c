"""What the numbers of a run depend on beside its settings: versions of packages, device and git revision."""

import contextlib
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

from espo_jax.runs.processor import processor

OPTIONAL_PACKAGES = ("warp-lang",)
PACKAGES = ("espo_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "brax", "mujoco", "mujoco-mjx", "numpy")


def surroundings() -> dict[str, Any]:
    """Versions, device, machine, command and git revision, for config.json."""
    device = jax.devices()[0]
    return {
        "versions": {"python": platform.python_version(), **_versions()},
        "device": {"platform": device.platform, "kind": device.device_kind, "count": jax.device_count()},
        "machine": _machine(),
        "command": sys.argv,
        "git_revision": _git_revision(),
    }


def _machine() -> str:
    """The system and its processors: times of different processors cannot be compared."""
    said = processor()
    known = [said[name] for name in ("model name", "cache size") if said.get(name)]
    return ", ".join([f"{platform.system()} {platform.machine()}", *known, f"{os.cpu_count()} processors"])


def _versions() -> dict[str, str]:
    """Versions of the packages; of an optional one if it is installed."""
    found = {name: version(name) for name in PACKAGES}
    for name in OPTIONAL_PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _git_revision() -> str | None:
    """Revision of the repository that has this code, with "-dirty" if it is changed; None without a repository."""

    def git(*command: str) -> str:
        here = ["git", "-C", str(Path(__file__).parent), *command]
        return subprocess.run(here, capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    try:
        git(
            "ls-files", "--error-unmatch", Path(__file__).name
        )  # an installed copy may lie in a repository of somebody else
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.SubprocessError):
        return None
