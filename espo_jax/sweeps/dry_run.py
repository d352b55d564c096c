"""What a sweep will take, before it runs: each program is compiled, and one pack is timed."""

import time
from collections.abc import Iterator, Sequence

import jax
import numpy as np

from espo_jax.runs.progress import clock_time
from espo_jax.sweeps import memory
from espo_jax.sweeps.plan import keys_of
from espo_jax.sweeps.program import Compiled, Places, compile_program
from espo_jax.sweeps.sweep import Checked

_TIMED = 2  # iterations, after one that is not timed


def lines(checked: Sequence[Checked], lanes_per_group: int | None) -> Iterator[str]:
    """Compile and time the programs of a sweep, one after the other.

    Args:
      checked: its programs, from `sweep.check`.
      lanes_per_group: the largest number of lanes of a group; None leaves it to the device.

    Yields:
      What there is, what each program takes, and what all takes.
    """
    devices = jax.local_devices()
    lanes = sum(len(each.program.lanes) for each in checked)
    yield f"{lanes:,} lanes, {len(checked)} programs, {len(devices)} devices"
    total = 0.0
    for each in checked:
        most = lanes_per_group or memory.lanes_per_group(each.memory, each.pack_size, len(devices))
        count = len(each.program.lanes)
        size = min(count, each.pack_size * len(devices))
        compiled = compile_program(
            each.program, each.env, vars(each.algorithm.config), size=size, pack_size=each.pack_size, devices=devices
        )
        per_sample = _seconds_per_sample(each, compiled)
        iterations = int(each.program.lanes[0].config.hyperparams["num_iterations"])
        samples = iterations * each.algorithm.config.base_sample_size
        if each.program.options.num_timesteps:
            samples = min(samples, each.program.options.num_timesteps)
        seconds = count * samples * per_sample
        total += seconds + compiled.seconds
        states = min(count, most) * each.memory.state / len(devices)
        yield (
            f"{each.program.title}: {count:,} lanes in {-(-count // most)} groups, packs of {each.pack_size}; "
            f"compiled in {clock_time(compiled.seconds)}; {(compiled.bytes + states) / 1e6:,.0f} MB on a device; "
            f"{1 / per_sample:,.0f} samples/s, so about {clock_time(seconds)} for {count * samples:,} samples"
        )
    yield f"about {clock_time(total)} in all, if every iteration takes base_sample_size samples"


def _seconds_per_sample(checked: Checked, compiled: Compiled) -> float:
    """Time of some iterations of as many lanes as the program has room for, by their samples."""
    lanes = checked.program.lanes[: compiled.size]
    places = Places.of(len(lanes), compiled.size, len(compiled.devices))
    hyperparams = compiled.put(places.spread(checked.program.hyperparams(lanes)))
    states = compiled.init(compiled.put(places.spread(keys_of(lanes))), hyperparams)
    active = compiled.put(np.ones(compiled.size, bool))
    seconds, samples = 0.0, 0
    for turn in range(1 + _TIMED):
        begin = time.perf_counter()
        states, metrics = compiled.step(states, hyperparams, active)
        taken = int(np.sum(metrics.sample_size))
        if turn:
            seconds, samples = seconds + time.perf_counter() - begin, samples + taken
    return seconds / samples
