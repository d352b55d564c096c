"""How many lanes fit: estimates from shapes, before anything is compiled."""

import math
import os
from typing import Any, NamedTuple

import jax

from espo_jax.algorithms.iteration import Algorithm, roll_out
from espo_jax.hyperparams import Hyperparams

# A pack that fills an accelerator has about this many environments; on a CPU one lane at a time is fastest.
_SATURATING_ENVS = 16_384
_MOST_PACKS = 64  # of a group, whose iteration cannot be interrupted
_STATES_SHARE, _PACK_SHARE = 0.3, 0.5  # of the memory
_COPIES = 3  # of a rollout: itself, what the update makes of it, and what XLA keeps beside both


class Memory(NamedTuple):
    """What lanes need, in bytes, estimated from shapes.

    Args:
      state: the TrainState of a lane, which is kept all the time.
      iteration: what an iteration of a lane takes beside it, as long as its pack is at work.
      limit: memory of a device.
    """

    state: int
    iteration: int
    limit: int


def estimate(algorithm: Algorithm, hyperparams: Hyperparams, device: Any) -> Memory:
    """What a lane needs on a device.

    Args:
      algorithm: algorithm of one lane.
      hyperparams: hyperparameters of one lane.
      device: the device.

    Raises:
      ValueError: not even one lane fits.
    """
    key = jax.random.key(0)
    state = jax.eval_shape(algorithm.init, key, hyperparams)

    def rollout(state: Any) -> Any:
        return roll_out(algorithm.env, algorithm.config, algorithm.networks, state, state.env_state, key)[1]

    found = Memory(_bytes(state), _COPIES * _bytes(jax.eval_shape(rollout, state)), device_bytes(device))
    if (needed := found.state + found.iteration) > found.limit:
        config = algorithm.config
        raise ValueError(
            f"one lane needs about {needed / 1e9:,.1f} GB and the device has {found.limit / 1e9:,.1f} GB: "
            f"num_envs is {config.num_envs:,} and base_sample_size {config.base_sample_size:,}; give less of them"
        )
    return found


def pack_size(memory: Memory, num_envs: int, platform: str) -> int:
    """Number of lanes that are vmapped if none is given.

    Args:
      memory: from `estimate`.
      num_envs: number of environments of a lane.
      platform: JAX's name of the kind of device.
    """
    if platform == "cpu":
        return 1
    fitting = int(_PACK_SHARE * memory.limit / memory.iteration)
    return max(1, min(math.ceil(_SATURATING_ENVS / num_envs), fitting))


def check_pack(memory: Memory, pack: int) -> None:
    """Check that a pack fits.

    Args:
      memory: from `estimate`.
      pack: number of lanes that are vmapped.

    Raises:
      ValueError: it needs more than the device has.
    """
    if (needed := pack * (memory.state + memory.iteration)) > memory.limit:
        most = memory.limit // (memory.state + memory.iteration)
        raise ValueError(
            f"pack_size is {pack:,}: so many lanes at once need about {needed / 1e9:,.1f} GB and the device has "
            f"{memory.limit / 1e9:,.1f} GB; it must be at most {most:,}"
        )


def lanes_per_group(memory: Memory, pack: int, num_devices: int) -> int:
    """The largest number of lanes of a group if none is given.

    Args:
      memory: from `estimate`.
      pack: number of lanes of a pack.
      num_devices: number of devices that a group is spread over.
    """
    fitting = max(1, int(_STATES_SHARE * memory.limit / memory.state))
    return num_devices * min(fitting, _MOST_PACKS * pack)


def device_bytes(device: Any) -> int:
    """Memory of a device; of the host's CPU, all that the machine has."""
    stats = device.memory_stats() if device.platform != "cpu" else None
    return int((stats or {}).get("bytes_limit", 0)) or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _bytes(tree: Any) -> int:
    def size(leaf: Any) -> int:
        itemsize = 8 if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf.dtype.itemsize
        return math.prod(leaf.shape) * itemsize

    return sum(map(size, jax.tree.leaves(tree)))
