"""A whole sweep by one call from Python."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from espo_jax.environments import named_env
from espo_jax.runs.options import RunOptions
from espo_jax.runs.output import Console
from espo_jax.runs.signals import finish_first
from espo_jax.settings import settings_of
from espo_jax.sweeps import sweep
from espo_jax.sweeps.axes import Axis
from espo_jax.sweeps.folder import SweepFolder
from espo_jax.sweeps.options import NOT_OF_A_SWEEP, SweepOptions
from espo_jax.sweeps.plan import MakeEnv, lanes_of, programs_of
from espo_jax.sweeps.progress import Report


def run(
    axes: Sequence[Axis],
    seeds: Sequence[int],
    sweep_dir: str | Path,
    *,
    make_env: MakeEnv = named_env,
    pack_size: int | None = None,
    lanes_per_group: int | None = None,
    console: Console | None = None,
    **settings: Any,
) -> SweepFolder:
    """Run a sweep, or go on with the one that the folder has, as `espo sweep` does.

        folder = run(grid(cost_limit=[25, 50], target_kl=[0.01, 0.02]), range(5), "runs/sweep", task="safety_reacher")
        folder.rows()

    Args:
      axes: what varies, from `axes.grid`, `zipped` and `random`.
      seeds: seeds of every point.
      sweep_dir: folder of the sweep; it is made if it does not exist.
      make_env: (task, backend, reward, env) -> one instance of the environment, see `named_env`.
      pack_size: number of lanes that are vmapped; None leaves it to the device.
      lanes_per_group: the largest number of lanes that are trained and saved together; None leaves it to the device.
      console: where to print; None stands for the standard output.
      **settings: fields of RunOptions, Config and Hyperparams that hold for all lanes; the rest is each one's preset.

    Returns:
      The folder: `rows` has a row for each lane, `read_metrics` the iterations.

    Raises:
      ValueError: before anything is compiled, naming what is not usable; or a file of the folder is damaged.
      Interrupted: a signal came; what ran until then is saved, and the same call goes on.
      OSError: a file cannot be written.
    """
    if unknown := [name for name in NOT_OF_A_SWEEP if name in settings]:
        raise ValueError(
            f"{unknown[0]} is given: a sweep has no such setting; its lanes have their own seeds and files"
        )
    SweepOptions(pack_size=pack_size, lanes_per_group=lanes_per_group)  # which checks them
    options = {name: settings.pop(name) for name in settings_of(RunOptions) if name in settings}
    SweepFolder.check(sweep_dir)
    make_env = functools.cache(make_env)
    with finish_first() as stop:
        lanes = lanes_of(make_env, RunOptions(**options), settings, axes, seeds)
        checked = [sweep.check(program, make_env, pack_size) for program in programs_of(lanes)]
        folder = SweepFolder.plan(sweep_dir, lanes, lanes_per_group or sweep.lanes_per_group(checked))
        sweep.Worker(folder, make_env, Report(console or Console(), folder.manifest), stop, pack_size=pack_size).run()
    return folder
