"""Lanes in packs: which wait for which, which stand still, and that each is what it would be alone."""

import json
import os
import subprocess
import sys
from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safety_envs.lanes import lanes_max

from espo_jax.algorithms.iteration import Algorithm
from espo_jax.sweeps.packs import in_packs


@flax.struct.dataclass
class Count:
    """A state that counts its steps."""

    sample_size: jax.Array
    steps: jax.Array


class Seen(NamedTuple):
    """What a lane sees of its pack."""

    largest: jax.Array
    nonfinite: jax.Array
    negative_costs: jax.Array


def counting():
    """An algorithm whose metrics say for which sample size its pack waits; at sample size 13 it breaks."""

    def init(key, sample_size):
        del key
        return Count(sample_size, jnp.int32(0))

    def step(state, sample_size):
        broken = state.sample_size == 13
        after = Count(sample_size, state.steps + 1)
        return after, Seen(lanes_max(state.sample_size), broken.astype(jnp.int32), jnp.int32(0))

    return Algorithm(None, init, step, None, None, None, None, None)


def take_step(sizes, active, pack_size, **options):
    sizes = jnp.array(sizes, jnp.int32)
    lanes = in_packs(counting(), pack_size, **options)
    keys = jax.vmap(jax.random.key)(jnp.arange(len(sizes)))
    states = jax.jit(lanes.init)(keys, sizes)
    states, seen = jax.jit(lanes.step)(states, sizes, jnp.array(active))
    return states.steps.tolist(), seen.largest.tolist()


def test_sorted_lanes_wait_for_their_like():
    """Packs of two of 9, 7 | 5, 4 | 1: the one that is not full has the smallest."""
    assert take_step([5, 1, 9, 4, 7], [True] * 5, 2) == ([1] * 5, [5, 1, 9, 5, 9])


def test_unsorted_lanes_wait_for_their_neighbours():
    assert take_step([5, 1, 9, 4, 7], [True] * 5, 2, sort=False) == ([1] * 5, [5, 5, 9, 9, 7])


def test_nobody_waits_for_lanes_that_stand_still():
    steps, largest = take_step([5, 1, 9, 4, 7], [True, True, False, True, False], 2)
    assert steps == [1, 1, 0, 1, 0]
    assert largest == [5, 1, 0, 5, 0]


@pytest.mark.parametrize("pack_size", [1, 2, 4, 5, 8])
def test_every_active_lane_takes_one_step(pack_size):
    steps, largest = take_step([5, 1, 9, 4, 7], [True, False, True, True, True], pack_size)
    assert steps == [1, 0, 1, 1, 1]
    assert min(largest[n] for n in (0, 2, 3, 4)) >= 4
    if pack_size == 1:
        assert largest == [5, 0, 9, 4, 7]


@pytest.mark.parametrize("pack_size", [1, 3])
def test_a_lane_that_breaks_stays_as_it_was(pack_size):
    assert take_step([5, 13, 9], [True] * 3, pack_size)[0] == [1, 0, 1]


def test_no_lane_at_all_takes_no_step():
    assert take_step([5, 1], [False, False], 2) == ([0, 0], [0, 0])


def test_a_pack_has_a_lane():
    with pytest.raises(ValueError, match="pack_size is 0: it must be at least 1"):
        in_packs(counting(), 0)


_ON_EIGHT = """
import json, re, sys
import jax, jax.numpy as jnp, numpy as np
from espo_jax import Config, Hyperparams, trpo
from espo_jax.sweeps.packs import in_packs, over_devices, sharding
from tests.probe_envs import TINY, PointEnv
from espo_jax.presets import resolve

config, values = resolve(TINY, PointEnv())
algorithm = trpo.make(PointEnv(), config)
limits = jnp.linspace(1.0, 4.0, 16)
hyperparams = jax.vmap(lambda limit: Hyperparams.create(**{**values, "cost_limit": limit}, config=config))(limits)
keys = jax.vmap(jax.random.key)(jnp.arange(16))
active = jnp.arange(16) != 5

def policies(lanes, put=lambda x: x):
    step = jax.jit(lanes.step)
    states = jax.jit(lanes.init)(put(keys), put(hyperparams))
    for _ in range(2):
        states, metrics = step(states, put(hyperparams), put(active))
    text = step.lower(states, put(hyperparams), put(active)).compile().as_text()
    return np.asarray(states.policy), np.asarray(metrics.iteration).tolist(), text

one, turns, _ = policies(in_packs(algorithm, 2))
devices = jax.devices()
many, spread_turns, text = policies(
    over_devices(in_packs(algorithm, 2), devices), lambda x: jax.device_put(x, sharding(devices))
)
collectives = re.findall(r"(all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)", text)
print(json.dumps([len(devices), float(np.abs(one - many).max()), turns, spread_turns, collectives]))
"""


def test_lanes_on_eight_devices_are_those_of_one_without_collectives():
    flags = "--xla_force_host_platform_device_count=8 " + os.environ.get("XLA_FLAGS", "")
    done = subprocess.run(
        [sys.executable, "-c", _ON_EIGHT], env={**os.environ, "XLA_FLAGS": flags}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    count, difference, turns, spread_turns, collectives = json.loads(done.stdout.splitlines()[-1])
    assert count == 8
    assert difference < 1e-5
    assert turns == spread_turns == [2 if lane != 5 else 0 for lane in range(16)]
    assert collectives == []
    assert np.isfinite(difference)
