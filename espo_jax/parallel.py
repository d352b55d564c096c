"""An algorithm for several runs at once, or on several devices."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax

from espo_jax.algorithms.iteration import Algorithm
from espo_jax.algorithms.metrics import Metrics
from espo_jax.algorithms.types import TrainState
from espo_jax.devices import first_devices, mesh_of, sharding, traced_for
from espo_jax.hyperparams import Hyperparams

_COLLECTIVE = re.compile(
    r" = \S+.* (all-reduce|all-gather|reduce-scatter|all-to-all|ragged-all-to-all|collective-permute|"
    r"collective-broadcast)(?:-start)?\((?:.*?op_name=\"([^\"]*)\")?"
)


def over_seeds(algorithm: Algorithm) -> Algorithm:
    """The algorithm for several runs that share their hyperparameters: keys, states and metrics get a leading axis."""
    return algorithm._replace(
        init=jax.vmap(algorithm.init, in_axes=(0, None)),
        step=jax.vmap(algorithm.step, in_axes=(0, None)),
        params=jax.vmap(algorithm.params),
    )


def over_devices(algorithm: Algorithm, devices: Sequence[Any] | int) -> Algorithm:
    """The algorithm with its environments spread over devices; its numbers are those of one device to rounding.

    Gradients, Fisher products, statistics and estimates are summed across the devices.

    Args:
      algorithm: algorithm of one run.
      devices: the devices, such as `jax.local_devices()`, or how many of this machine; with 1 nothing changes.

    Raises:
      ValueError: there are not so many devices, or they cannot have equal shares of the environments.
    """
    if devices == 1:
        return algorithm
    if isinstance(devices, int):
        devices = first_devices(devices)
    num_envs, main = algorithm.config.num_envs, devices[0]
    if num_envs % len(devices):
        raise ValueError(f"num_envs is {num_envs}: it must be a multiple of the number of devices ({len(devices)})")
    mesh = mesh_of(devices)

    def place(how: Callable[[Any, Any], Any], state: TrainState) -> TrainState:
        shared = how(dataclasses.replace(state, env_state=()), sharding(mesh))
        axes = algorithm.env.env_axes(state.env_state)
        split = jax.tree.map(lambda x, axis: how(x, sharding(mesh, axis)), state.env_state, axes)
        return dataclasses.replace(shared, env_state=split)

    constrain = partial(place, jax.lax.with_sharding_constraint)

    def init(key: jax.Array, hyperparams: Hyperparams) -> TrainState:
        return constrain(algorithm.init(key, hyperparams))

    def step(state: TrainState, hyperparams: Hyperparams) -> tuple[TrainState, Metrics]:
        with traced_for(mesh):
            state, metrics = algorithm.step(constrain(state), hyperparams)
        return constrain(state), metrics

    def params(state: TrainState) -> tuple[Any, Any, Any]:
        return jax.device_put(algorithm.params(state), main)  # episodes of a policy need no other device

    return algorithm._replace(init=init, step=step, params=params, put=partial(place, jax.device_put))


def collectives(program: jax.stages.Compiled) -> list[tuple[str, str]]:
    """The collectives of a compiled program, by which devices exchange data: the kind of each one, and its place.

    A collective whose place contains "while" runs in every turn of that loop.
    """
    return _COLLECTIVE.findall(program.as_text() or "")
