"""A sweep from checked lanes to its full folder: group after group, each with a compiled program that it may share."""

import contextlib
import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from espo_jax.algorithms.checks import shared_blocks
from espo_jax.algorithms.iteration import Algorithm
from espo_jax.evaluation import Episodes
from espo_jax.hyperparams import Hyperparams
from espo_jax.runs import files
from espo_jax.runs.place import BusyError
from espo_jax.runs.signals import Stop
from espo_jax.runs.surroundings import surroundings
from espo_jax.sweeps import episodes, hosts, memory, table
from espo_jax.sweeps.folder import CONFIG, SweepFolder
from espo_jax.sweeps.group_run import GroupRun
from espo_jax.sweeps.manifest import Group
from espo_jax.sweeps.memory import Memory
from espo_jax.sweeps.plan import MakeEnv, Program
from espo_jax.sweeps.program import Compiled, compile_program
from espo_jax.sweeps.progress import Report

_WAIT_SECONDS = 1.0  # between two looks at what other processes left


@dataclasses.dataclass(frozen=True)
class Checked:
    """A program whose lanes were checked, and what it needs.

    Attributes:
      program: the program.
      env: one instance of its environment.
      algorithm: the algorithm of one lane.
      memory: what a lane needs.
      pack_size: number of lanes that are vmapped.
    """

    program: Program
    env: Any
    algorithm: Algorithm
    memory: Memory
    pack_size: int


def check(
    program: Program,
    make_env: MakeEnv,
    pack_size: int | None = None,
    config: Mapping[str, Any] | None = None,
    room: int = 1,
) -> Checked:
    """Check everything that can be checked without compiling.

    Args:
      program: the lanes of one program.
      make_env: (task, backend, reward, env) -> one instance of the environment, see `named_env`.
      pack_size: number of lanes that are vmapped; None leaves it to the device.
      config: fields of Config, perhaps with the sizes of another device; None stands for those of the program.
      room: number of lanes that the program will have at least.

    Raises:
      ValueError: a setting or an environment is not usable, or a lane does not fit into memory.
    """
    env = make_env(*program.options.environment)
    has_blocks = (config or program.config)["block_size"] is not None
    program = dataclasses.replace(program, config=config or program.config)
    algorithm = program.make(env)
    first = Hyperparams.create(**program.lanes[0].config.hyperparams, config=algorithm.config)
    needs = memory.estimate(algorithm, first, jax.local_devices()[0])
    platform = jax.default_backend()
    most = pack_size or memory.pack_size(needs, algorithm.config.num_envs, platform)
    size = min(most, max(room, len(program.lanes)))
    memory.check_pack(needs, size)
    if platform != "cpu" and not has_blocks:
        program = dataclasses.replace(program, config=vars(shared_blocks(algorithm.config, size)))
        algorithm = program.make(env)
    return Checked(program, env, algorithm, needs, size)


def lanes_per_group(checked: Sequence[Checked]) -> int:
    """The largest number of lanes of a group if none is given: what fits for each of some programs."""
    devices = len(jax.local_devices())
    return min(memory.lanes_per_group(each.memory, each.pack_size, devices) for each in checked)


class Worker:
    """What runs the groups of a sweep, one after the other; several workers may share a folder."""

    def __init__(
        self,
        folder: SweepFolder,
        make_env: MakeEnv,
        report: Report,
        stop: Stop | None = None,
        *,
        pack_size: int | None = None,
        sort: bool = True,
        room: int = 1,
    ):
        """Compile nothing yet.

        Args:
          folder: folder of the sweep.
          make_env: (task, backend, reward, env) -> one instance of the environment, see `named_env`.
          report: is told what happens.
          stop: from `signals.finish_first`; None stands for no signals.
          pack_size: number of lanes that are vmapped; None leaves it to the device.
          sort: whether lanes are sorted by their sample size.
          room: number of lanes that a program is compiled for at least: those of groups that are not planned yet.
        """
        self.folder, self._make_env, self._report, self._stop = folder, make_env, report, stop or Stop()
        self._pack_size, self._sort, self._room = pack_size, sort, room
        self._devices = jax.local_devices()
        self._newest: tuple[str, Compiled | None] = ("", None)  # groups of a program follow each other

    def run(self, groups: Sequence[str] | None = None) -> None:
        """Run every group that is not done and that no other process works on.

        A signal ends the iteration of all lanes; then all is saved. A lane with nan, infinity or a negative cost stops
        alone.

        Args:
          groups: names of the groups; None stands for all.

        Raises:
          Interrupted: a signal came; what ran until then is saved.
          ValueError: a file of the folder is damaged.
          OSError: a file cannot be written.
        """
        if not self.folder.is_current:
            self.folder.write_lanes()
        busy: set[str] = set()
        while self._run_free(groups, busy) and jax.process_count() > 1:
            # At its exit a process of jax.distributed waits for the others for five minutes only, then ends them.
            self._stop.check()
            time.sleep(_WAIT_SECONDS)

    def _run_free(self, groups: Sequence[str] | None, busy: set[str]) -> bool:
        """Run every group that is free; returns whether others work on the rest.

        Args:
          groups: names of the groups; None stands for all.
          busy: names of the groups that were reported to be busy; it is added to.
        """
        is_waiting = False
        for group in hosts.in_turn(list(self.folder.manifest.groups)):
            if (groups is not None and group.name not in groups) or self._is_done(group):
                continue
            with contextlib.ExitStack() as held:
                try:
                    held.enter_context(self.folder.locked(group))
                except BusyError:
                    is_waiting = True
                    if group.name not in busy:
                        self._report.skipped(group)
                    busy.add(group.name)
                    continue
                if not self._is_done(group):  # another process may just have finished it
                    self._run_group(group, self._compiled(group))
        return is_waiting

    def _is_done(self, group: Group) -> bool:
        return table.is_done(self.folder.group_rows(group), group)

    def _compiled(self, group: Group) -> Compiled:
        """The compiled program of a group; its sizes are those with which it began, perhaps on another device."""
        path = self.folder.group_path(group) / CONFIG
        config = files.infinities(files.read_json(path))["config"] if path.exists() else None
        program = group.lanes[0].program
        # Groups of a program share a compiled one, so sizes are those of the largest: a last, small group has them too.
        room = max(self._room, *(len(g.lanes) for g in self.folder.manifest.groups if g.lanes[0].program == program))
        checked = check(group.program, self._make_env, self._pack_size, config, room)
        if config is None:
            config = dataclasses.asdict(checked.algorithm.config)
            files.write_json(path, {"config": config, **surroundings()})
        key = f"{program} {files.strict(config)}"
        found = self._newest[1] if self._newest[0] == key else None
        if found is None or found.size < len(group.lanes) or found.pack_size < checked.pack_size:  # the sweep grew
            self._newest = ("", None)  # its memory is free before the next one is compiled
            self._stop.at_once = True
            self._stop.check()
            found = self._report.compiling(group, lambda: compile_program(
                group.program, checked.env, config,
                size=room, pack_size=checked.pack_size, devices=self._devices, sort=self._sort,
            ))  # fmt: skip
            self._stop.at_once = False
            self._newest = (key, found)
        return found

    def _run_group(self, group: Group, compiled: Compiled) -> None:
        """Run a group to its end, and write its rows."""
        with GroupRun(self.folder, group, compiled) as run, self._report.group(run) as report:
            for note in run.notes:
                report.note(note)
            try:
                while run.active.any():
                    self._stop.check()
                    report.update(run.turn())
                    if run.is_due:
                        self._save(run)
                self._stop.check()
                fresh = run.evaluate()
            except KeyboardInterrupt:
                self._save(run)
                self.folder.write_lanes()
                raise
            self._save(run, fresh)
            self.folder.write_lanes()

    def _save(self, run: GroupRun, fresh: Mapping[str, Episodes] | None = None) -> None:
        """Write everything of a group. Its rows say that it is done only when the rest is on the disk."""
        run.save(wait=fresh is not None)
        if fresh is not None:
            run.write_policies()
            episodes.write(self.folder, run.group, [lane.id for lane in run.lanes], fresh)
        self.folder.write_group_rows(run.group, table.rows_of(run, fresh))
