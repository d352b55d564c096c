"""What domain randomisation may change of the MuJoCo engine's model."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from mujoco.batch import MODEL_FIELDS


@flax.struct.dataclass
class EngineSystem:
    """Fields of MuJoCo's model that are changed, used as `brax.base.System` is.

        system.tree_replace({"body_mass": 2 * system.body_mass, "opt.gravity": 2 * system.opt.gravity})

    Fields are set as given; what MuJoCo derives from them when it compiles a model (`dof_invweight0`) stays.

    Attributes:
      changes: field -> value that replaces the model's.
      model: the model.
      varying: names of the fields that may differ between simulations.
    """

    changes: dict[str, Any]
    model: mujoco.MjModel = flax.struct.field(pytree_node=False)
    varying: frozenset[str] = flax.struct.field(pytree_node=False, default=frozenset(MODEL_FIELDS))

    def tree_replace(self, params: dict[str, Any]) -> "EngineSystem":
        """The system with other values of some fields.

        Raises:
          ValueError: the model has no such field, or it cannot differ between simulations.
        """
        for name in params:
            if name not in self.varying or not isinstance(model_field(self.model, name), np.ndarray):
                raise ValueError(f"MuJoCo's model has no array field {name!r} that may differ between simulations")
        return self.replace(changes={**self.changes, **params})

    def check_shapes(self) -> None:
        """Raises a ValueError where a changed field, of one environment, has not the model's shape."""
        for name, value in self.changes.items():
            expected = model_field(self.model, name).shape
            if jnp.shape(value) != expected:
                raise ValueError(f"the system's {name} has shape {jnp.shape(value)}; the model's is {expected}")

    def __getattr__(self, name: str) -> Any:
        """A model's field, such as `body_mass`, as changed; `opt` gives its own, such as `opt.gravity`."""
        if name.startswith("_"):
            raise AttributeError(name)
        value = self.changes[name] if name in self.changes else model_field(self.model, name)
        if value is None:
            raise AttributeError(f"MuJoCo's model has no field {name!r}")
        if isinstance(value, mujoco.MjOption):
            return _Part(self, name)
        return jnp.asarray(value) if isinstance(value, np.ndarray) else value


class _Part:
    """Fields of one part of a system's model, as changed."""

    def __init__(self, system: EngineSystem, name: str):
        self._system, self._name = system, name

    def __getattr__(self, name: str) -> jax.Array:
        return getattr(self._system, f"{self._name}.{name}")


def model_field(model: mujoco.MjModel, name: str) -> Any:
    """A field by its dotted name, None where there is no such field."""
    value: Any = model
    for part in name.split("."):
        value = getattr(value, part, None)
    return value
