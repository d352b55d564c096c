"""MuJoCo Playground's environments on MuJoCo Warp (`impl="warp"`, its default), of which each world is reset by itself.

Warp steps all worlds on one `mjx.Data` whose contact buffers they share. Here a world keeps the public fields of its
data only. Every reset and step makes a whole `mjx.Data` for all worlds, with room for their contacts.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from mujoco import mjx

from safety_envs.physics.warp_support import empty_data, overflowed, quiet_solver, require_warp
from safety_envs.physics.worlds import one_world

# Playground's sizes of the contact buffer (naconmax) are for 2,048 environments or more: this gives each the most room.
_NUM_ENVS_OF_PLAYGROUND = 2_048


@flax.struct.dataclass
class WarpData:
    """The public fields of one world's `mjx.Data`, read as its attributes: `data.qpos`, `data.sensordata`.

    Attributes:
      fields: name -> array.
    """

    fields: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        """A field; the physics' inner ones, contacts included, are shared among worlds and not kept."""
        if name.startswith("_") or name not in self.fields:
            kept = ", ".join(self.fields)
            raise AttributeError(f"field {name!r} of mjx.Data is not kept with impl='warp'; kept: {kept}")
        return self.fields[name]


def is_on_warp(env: Any) -> bool:
    """Whether a Playground environment steps MuJoCo Warp."""
    model = getattr(getattr(env, "unwrapped", env), "mjx_model", None)
    return getattr(getattr(model, "impl", None), "value", None) == "warp"


class WarpWorlds:
    """`reset` and `step` of a Playground environment on Warp, on states whose `data` is a `WarpData`.

    They can be vmapped, nested too. A world whose contacts or constraints exceed their room is nan from then on.
    """

    def __init__(self, env: Any, contacts_per_env: int | None = None):
        """See `from_playground`."""
        require_warp()
        self._env = env
        env.unwrapped._mjx_model = self._loaded_model = quiet_solver(env.unwrapped.mjx_model)
        config = getattr(env.unwrapped, "_config", {})
        self._constraints = config.get("njmax")
        total = config.get("naconmax")
        if contacts_per_env is None and total is not None:
            contacts_per_env = -(-total // _NUM_ENVS_OF_PLAYGROUND)
        self._contacts = contacts_per_env

    def reset(self, key: jax.Array) -> Any:
        """The environment's reset."""
        return self._on_all_worlds(lambda env, count, key: env.reset(key), key)

    def step(self, state: Any, action: jax.Array) -> Any:
        """The environment's step under `action` [A], from a state of this class."""

        def step(env: Any, count: int, state: Any, action: jax.Array) -> Any:
            empty = empty_data(env.mj_model, self._room(count), self._constraints)
            return env.step(state.replace(data=empty.replace(**state.data.fields)), action)

        return self._on_all_worlds(step, state, action)

    def _room(self, count: int) -> int | None:
        return None if self._contacts is None else self._contacts * count

    def _on_all_worlds(self, function: Callable[..., Any], *args: Any) -> Any:
        """`function(env, number of worlds, *args)`, vmapped once over the worlds of all vmaps around this call."""
        values, structure = jax.tree.flatten(jax.tree.map(jnp.asarray, args))
        model, model_structure = jax.tree.flatten(self._env.unwrapped.mjx_model)
        loaded = jax.tree.leaves(self._loaded_model)
        places = [i for i, (a, b) in enumerate(zip(model, loaded, strict=True)) if a is not b]

        def of_one(count: int, *leaves: jax.Array) -> Any:
            new_args = jax.tree.unflatten(structure, leaves[: len(values)])
            changed = dict(zip(places, leaves[len(values) :], strict=True))
            new_model = jax.tree.unflatten(model_structure, [changed.get(i, x) for i, x in enumerate(loaded)])
            with self._prepared(new_model if places else self._loaded_model, count) as env:
                return _own(function(env, count, *new_args))

        def all_worlds(count: int, mapped: tuple[bool, ...], leaves: list[jax.Array]) -> Any:
            axes = [0 if each else None for each in mapped]
            return jax.vmap(lambda *x: of_one(count, *x), in_axes=axes, axis_size=count)(*leaves)

        return one_world(all_worlds)(*values, *(model[i] for i in places))

    @contextlib.contextmanager
    def _prepared(self, model: Any, count: int) -> Iterator[Any]:
        """The environment with a model, making data with room for the contacts of so many worlds."""
        env, config = self._env.unwrapped, getattr(self._env.unwrapped, "_config", {})
        before, total = env.mjx_model, config.get("naconmax")
        env._mjx_model = model
        if total is not None:
            config["naconmax"] = self._room(count)
        try:
            yield self._env
        finally:
            env._mjx_model = before
            if total is not None:
                config["naconmax"] = total


def _own(state: Any) -> Any:
    """The state with what a world has of its own in place of the whole `mjx.Data`; nan if it has overflowed."""
    names = [field.name for field in mjx.Data.fields() if field.name != "_impl"]
    fields = {name: getattr(state.data, name) for name in names}
    fields = {name: x for name, x in fields.items() if isinstance(x, jax.Array)}
    broken = overflowed(state.data)
    state = jax.tree.map(jnp.asarray, state.replace(data=WarpData(fields=fields)))

    def poison(x: jax.Array) -> jax.Array:
        return jnp.where(broken, jnp.nan, x) if jnp.issubdtype(x.dtype, jnp.floating) else x

    data, obs, reward = jax.tree.map(poison, (state.data, state.obs, state.reward))
    return state.replace(data=data, obs=obs, reward=reward)
