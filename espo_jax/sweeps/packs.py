"""Many runs as one program: lanes in packs, sorted by their next sample size, and spread over devices."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from espo_jax.algorithms.iteration import Algorithm
from espo_jax.algorithms.metrics import Metrics
from espo_jax.algorithms.types import TrainState
from espo_jax.hyperparams import Hyperparams

_AXIS = "lanes"


class Lanes(NamedTuple):
    """An algorithm for L lanes: runs that differ in their seeds and hyperparameters.

    Args:
      init: (keys [L], hyperparams [L]) -> TrainState [L].
      step: (states [L], hyperparams [L], active [L] bool) -> (states, metrics [L]). One iteration of the active lanes.
        The others stay as they are, and their metrics are 0. A lane whose metrics report nan, infinity or a negative
        cost also stays as it was before.
      algorithm: the algorithm of one lane.
    """

    init: Callable[[jax.Array, Hyperparams], TrainState]
    step: Callable[[TrainState, Hyperparams, jax.Array], tuple[TrainState, Metrics]]
    algorithm: Algorithm


def in_packs(algorithm: Algorithm, pack_size: int, *, sort: bool = True) -> Lanes:
    """Lanes that are vmapped in packs, one pack after the other.

    Vmapped lanes wait for the largest sample size among them. Sorted by it, lanes of a pack have nearly the same, so
    that the time follows the samples. Only one pack's rollout is in memory at a time.

    Args:
      algorithm: algorithm of one lane.
      pack_size: number of lanes that are vmapped.
      sort: whether the lanes are sorted; without it the packs are those of the lanes' order.

    Raises:
      ValueError: the pack size is not positive.
    """
    if pack_size < 1:
        raise ValueError(f"pack_size is {pack_size}: it must be at least 1")

    def init(keys: jax.Array, hyperparams: Hyperparams) -> TrainState:
        return jax.lax.map(lambda lane: algorithm.init(*lane), (keys, hyperparams), batch_size=pack_size)

    def step(states: TrainState, hyperparams: Hyperparams, active: jax.Array) -> tuple[TrainState, Metrics]:
        count = len(active)
        # The largest first, so that a pack that is not full holds the smallest ones; lanes that stand still come last.
        order = jnp.argsort(jnp.where(active, -states.sample_size if sort else -1, 0), stable=True)
        order = jnp.pad(order, (0, -count % pack_size), constant_values=count)  # places of no lane

        def body(pack: jax.Array, carry: tuple[TrainState, Metrics]) -> tuple[TrainState, Metrics]:
            lanes = jax.lax.dynamic_slice_in_dim(order, pack * pack_size, pack_size)
            return _step_pack(algorithm, lanes, hyperparams, active, carry)

        metrics = jax.tree.map(lambda x: jnp.zeros((count, *x.shape), x.dtype), _metrics_of(algorithm, hyperparams))
        return jax.lax.fori_loop(0, -(-jnp.sum(active) // pack_size), body, (states, metrics))

    return Lanes(init, step, algorithm)


def _step_pack(
    algorithm: Algorithm,
    lanes: jax.Array,
    hyperparams: Hyperparams,
    active: jax.Array,
    carry: tuple[TrainState, Metrics],
) -> tuple[TrainState, Metrics]:
    """All states [L] and metrics [L] after an iteration of the lanes of a pack, where they are active."""
    is_one = len(lanes) == 1  # it is active, and needs no vmap
    place = lanes[0] if is_one else jnp.minimum(lanes, len(active) - 1)

    def take(tree: Any) -> Any:
        return jax.tree.map(lambda x: x[place], tree)

    def put(tree: Any, values: Any, where: jax.Array) -> Any:
        place = jnp.where(where, lanes[0] if is_one else lanes, len(active))
        return jax.tree.map(lambda x, value: x.at[place].set(value, mode="drop"), tree, values)

    runs = jnp.bool(True) if is_one else (lanes < len(active)) & take(active)
    states = take(carry[0])
    states = states.replace(sample_size=jnp.where(runs, states.sample_size, 0))  # nobody waits for the others
    step = algorithm.step if is_one else jax.vmap(algorithm.step)
    states, metrics = step(states, take(hyperparams))
    is_whole = (metrics.nonfinite == 0) & (metrics.negative_costs == 0)
    return put(carry[0], states, runs & is_whole), put(carry[1], metrics, runs)


def _metrics_of(algorithm: Algorithm, hyperparams: Hyperparams) -> Metrics:
    """Shapes of the metrics of one lane."""
    lane = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), hyperparams)
    state = jax.eval_shape(algorithm.init, jax.random.key(0), lane)
    return jax.eval_shape(algorithm.step, state, lane)[1]


def over_devices(lanes: Lanes, devices: Sequence[Any]) -> Lanes:
    """Lanes spread over devices, which share nothing: each works on its own packs, without any collective.

    Args:
      lanes: from `in_packs`; the number of lanes must be a multiple of the number of devices.
      devices: the devices.
    """
    return lanes._replace(init=spread(lanes.init, devices), step=spread(lanes.step, devices))


def spread(fn: Callable[..., Any], devices: Sequence[Any]) -> Callable[..., Any]:
    """A function of arrays with a first axis of lanes, each device at work on its own part of them."""
    lanes = PartitionSpec(_AXIS)
    return jax.shard_map(fn, mesh=Mesh(list(devices), _AXIS), in_specs=lanes, out_specs=lanes, check_vma=False)


def sharding(devices: Sequence[Any]) -> NamedSharding:
    """How arrays with a first axis of lanes lie on devices; see `over_devices`."""
    return NamedSharding(Mesh(list(devices), _AXIS), PartitionSpec(_AXIS))
