"""The folder of a tuning: study.json, which says what is tuned, the journal of Optuna, and the sweep of all lanes."""

import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from espo_jax.results.tune_options import TuneOptions
from espo_jax.runs import files
from espo_jax.runs.files import DamagedError
from espo_jax.runs.place import TakenError, rename_to_unused, usable
from espo_jax.runs.surroundings import surroundings
from espo_jax.settings import shown
from espo_jax.sweeps.plan import Lane

STUDY, SWEEP = "study.json", "sweep"
FORMAT = 1


def identity(options: TuneOptions, seeds: Sequence[int], lane: Lane) -> dict[str, dict[str, Any]]:
    """What two commands must share to be about one study, in strict JSON.

    Args:
      options: options of the tuning.
      seeds: seeds of every trial.
      lane: the lane of one point and seed.
    """
    run = lane.config.options
    settings = {
        **lane.config.identity(),
        "num_iterations": lane.config.hyperparams["num_iterations"],
        "num_timesteps": run.num_timesteps,
        "num_eval_episodes": run.num_eval_episodes,
    }
    tuned = {dimension.name: dimension.text for dimension in options.space()}
    return files.strict(
        {
            "tuned": tuned,
            "draws": {"seeds": list(seeds), "random_seed": options.random_seed},
            "settings": {name: value for name, value in settings.items() if name not in (*tuned, "seed")},
        }
    )


def check(path: Path) -> None:
    """Refuse a folder that exists and is no tuning. It makes no environment, which `claim` needs for a lane.

    Raises:
      ValueError: the folder has something else.
      DamagedError: its study is damaged.
    """
    if usable(path).exists():
        _read(path)


def claim(path: Path, asked: Mapping[str, Mapping[str, Any]]) -> None:
    """Make the folder of a tuning, or check that the one that is there is about the same study.

    Args:
      path: the folder.
      asked: from `identity`.

    Raises:
      ValueError: the folder has another study, or something else.
      OSError: it cannot be written to.
    """
    path = usable(path)
    if not path.exists():
        building = path.parent / f".espo-{uuid.uuid4().hex[:12]}"
        try:
            building.mkdir(parents=True)
            files.write_json(building / STUDY, {"format": FORMAT, **asked, **surroundings()})
            rename_to_unused(building, path)
            return
        except TakenError:  # another process was faster
            pass
        finally:
            shutil.rmtree(building, ignore_errors=True)
    there = _read(path)
    for section, wanted in asked.items():
        found = there.get(section)
        if not isinstance(found, dict):
            raise DamagedError(f"{path / STUDY} is damaged: it has no {section}")
        for name in dict.fromkeys((*found, *wanted)):
            if found.get(name) != wanted.get(name):
                what = {"tuned": f"its range or choice of {name}"}.get(section, f"its {name}")
                values = [shown(values[name]) if name in values else "not given" for values in (found, wanted)]
                raise ValueError(f"{path} has another study: {what} is {values[0]}, and {values[1]} is asked for")


def _read(path: Path) -> dict[str, Any]:
    """What study.json says."""
    if not (path / STUDY).exists():
        raise ValueError(f"{path} exists and has no {STUDY}: it is no tuning, and is never overwritten")
    there = files.read_json(path / STUDY)
    if there.get("format") != FORMAT:
        raise DamagedError(f"{path / STUDY} has format {shown(there.get('format'))}: this version reads {FORMAT}")
    return there
