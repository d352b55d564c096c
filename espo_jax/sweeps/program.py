"""The compiled program of a group of lanes, and where each lane lies in its arrays."""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from espo_jax.algorithms.iteration import Algorithm
from espo_jax.config import Config
from espo_jax.evaluation import DETERMINISTIC, POLICIES, evaluator
from espo_jax.loop import program_bytes
from espo_jax.runs import warm_start
from espo_jax.sweeps.packs import in_packs, over_devices, sharding, spread
from espo_jax.sweeps.plan import Program, keys_of


class Places(NamedTuple):
    """Where n lanes lie in the arrays [L] of a compiled program, which may have room for more.

    Args:
      lane: [L] lane at each place; lane 0 where there is room left.
      place: [n] place of each lane. The devices get lanes in turn.
    """

    lane: np.ndarray
    place: np.ndarray

    @classmethod
    def of(cls, count: int, size: int, num_devices: int) -> "Places":
        """Places of `count` lanes among `size`, a multiple of the number of devices."""
        order = np.arange(size).reshape(num_devices, -1).T.ravel()  # the first place of each device, then the second
        lane = np.zeros(size, int)
        lane[order[:count]] = np.arange(count)
        return cls(lane, order[:count])

    def spread(self, tree: Any) -> Any:
        """Arrays [n, ...] of the lanes as arrays [L, ...]."""
        return jax.tree.map(lambda x: x[self.lane], tree)

    def gather(self, tree: Any) -> Any:
        """Arrays [L, ...] as arrays [n, ...] of the lanes."""
        return jax.tree.map(lambda x: x[self.place], tree)


class Compiled(NamedTuple):
    """The compiled program of a group; groups of one program share it.

    Args:
      algorithm: the algorithm of one lane.
      init, step: see `packs.Lanes`; `step` takes the memory of the states that it is given.
      evaluate: by policy: (params [L], keys [L]) -> Evaluation [L]; compiled when it is first called.
      size: L.
      pack_size: number of lanes that are vmapped.
      devices: the devices that the lanes are spread over.
      seconds: time to compile.
      bytes: memory of a step, the states of all lanes included.
    """

    algorithm: Algorithm
    init: Callable[..., Any]
    step: Callable[..., Any]
    evaluate: Mapping[str, Callable[..., Any]]
    size: int
    pack_size: int
    devices: Sequence[Any]
    seconds: float
    bytes: int

    def put(self, tree: Any) -> Any:
        """Arrays [L, ...] on the devices."""
        return jax.device_put(tree, sharding(self.devices))


def compile_program(
    program: Program,
    env: Any,
    config: Mapping[str, Any],
    *,
    size: int,
    pack_size: int,
    devices: Sequence[Any],
    sort: bool = True,
) -> Compiled:
    """Compile a program for groups of up to so many lanes.

    Args:
      program: the program.
      env: one instance of its environment.
      config: fields of Config: those of the program, perhaps with the sizes of another device.
      size: number of lanes that there is room for; it is rounded up to a multiple of the number of devices.
      pack_size: number of lanes that are vmapped.
      devices: the devices that the lanes are spread over.
      sort: whether lanes are sorted by their sample size.
    """
    begin = time.perf_counter()
    options = program.options
    algorithm = warm_start.make(options, env, Config(**config))
    lanes = in_packs(algorithm, pack_size, sort=sort)
    size = -(-size // len(devices)) * len(devices)
    if len(devices) > 1:
        lanes = over_devices(lanes, devices)
    example = Places.of(1, size, len(devices))
    around = sharding(devices)
    put = lambda tree: jax.device_put(example.spread(tree), around)  # noqa: E731
    keys, hyperparams = put(keys_of(program.lanes[:1])), put(program.hyperparams(program.lanes[:1]))
    init = jax.jit(lanes.init)
    states = jax.eval_shape(init, keys, hyperparams)
    states = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=around), states)
    active = jax.ShapeDtypeStruct((size,), bool, sharding=around)
    step = jax.jit(lanes.step, donate_argnums=0).lower(states, hyperparams, active).compile()

    evaluators = _evaluators(options.num_eval_episodes, env, algorithm, pack_size, devices)
    return Compiled(
        algorithm, init, step, evaluators, size, pack_size, devices, time.perf_counter() - begin, program_bytes(step)
    )


def _evaluators(
    num_episodes: int, env: Any, algorithm: Algorithm, pack_size: int, devices: Sequence[Any]
) -> dict[str, Callable[..., Any]]:
    """How each policy of lanes is evaluated: (params, keys) -> Evaluation; all share one compiled program."""
    if not num_episodes:
        return {}
    one = evaluator(
        env,
        algorithm.make_inference_fn,
        num_episodes=num_episodes,
        episode_length=algorithm.config.episode_length,
        action_repeat=algorithm.config.action_repeat,
    )

    def of_lanes(params: Any, keys: jax.Array, deterministic: jax.Array) -> Any:
        return jax.lax.map(lambda lane: one(*lane), (params, keys, deterministic), batch_size=pack_size)

    program = jax.jit(spread(of_lanes, devices) if len(devices) > 1 else of_lanes)

    def evaluate(policy: str, params: Any, keys: jax.Array) -> Any:
        return program(params, keys, np.full(keys.shape, policy == DETERMINISTIC))

    return {policy: functools.partial(evaluate, policy) for policy in POLICIES}
