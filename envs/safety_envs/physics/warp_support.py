"""What MuJoCo Warp needs before it runs: the package, its buffers' sizes, and what an overflow of them is."""

import importlib.util
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from mujoco import mjx

from safety_envs.physics.models import on_this_host

_PLANE, _SPHERE = int(mujoco.mjtGeom.mjGEOM_PLANE), int(mujoco.mjtGeom.mjGEOM_SPHERE)
_CAPSULE, _BOX = int(mujoco.mjtGeom.mjGEOM_CAPSULE), int(mujoco.mjtGeom.mjGEOM_BOX)
_MOST_OF_A_PAIR = 8  # contacts of two geoms that are no spheres, capsules or planes; of two boxes, for example
_SMALL = 64  # an array of fewer numbers may be stored in a program
_SOLVER_LIMITS = ("ITERATIONS", "LS_ITERATIONS")  # no overflow: the solver did not converge, as in every backend


def require_warp() -> None:
    """Check that MuJoCo Warp can run here.

    Raises:
      ValueError: its package is not installed, or JAX uses another device than a CPU or an NVIDIA GPU.
    """
    if importlib.util.find_spec("warp") is None:
        raise ValueError("backend is 'warp': it needs the package warp-lang: pip install \"espo_jax[warp]\"")
    if jax.default_backend() not in ("cpu", "gpu", "cuda"):
        raise ValueError(
            f"backend is 'warp': it runs on NVIDIA GPUs and, slowly, on CPUs, not on {jax.default_backend()}"
        )


def quiet_solver(model: mjx.Model, **options: Any) -> mjx.Model:
    """The model for which Warp prints overflows, but not that its solver stopped at the largest number of iterations.

    Args:
      model: with impl="warp".
      **options: other values of Warp's own options.
    """
    inner: Any = model.opt._impl
    inner = inner.replace(warn_overflow=inner.warn_overflow & _overflows(), **options)
    return model.replace(opt=model.opt.replace(_impl=inner))


def overflowed(data: mjx.Data) -> jax.Array:
    """Whether the contacts or constraints of a world have exceeded the room for them since `data` was made: [] bool.

    Contacts have room in one buffer for all worlds; if there are too many, which worlds lose some is chance, so all
    worlds have overflowed.
    """
    inner: Any = data._impl
    contacts = (inner.nacon > inner.naconmax) | (inner.ncollision > inner.naconmax)
    # A step sets the bits, and keeps them; what a forward pass without a step exceeds is in the counts only.
    return ((inner.overflow & _overflows()) != 0) | (inner.nefc > inner.njmax) | jnp.any(contacts)


def _overflows() -> int:
    """The bits of Warp's OverflowType that are losses: of contacts, constraints or collisions."""
    from mujoco.mjx.warp import mjwp_types

    kinds = mjwp_types.OverflowType
    return sum(int(kind) for kind in kinds if kind.name not in (*_SOLVER_LIMITS, "NONE", "ALL"))


def empty_data(model: mujoco.MjModel, contacts: int | None, constraints: int | None) -> mjx.Data:
    """One world's `mjx.Data`, to be vmapped: the contact buffer, which all worlds share, has no axis of worlds.

    Args:
      model: the model.
      contacts: room for contacts of all worlds; None: MuJoCo Warp's guess.
      constraints: room for rows of constraints of each world; None: MuJoCo Warp's guess.
    """
    with on_this_host(), jax.ensure_compile_time_eval():  # it is read on the host
        data = mjx.make_data(model, impl="warp", naconmax=contacts, njmax=constraints)

    def small(x: Any) -> Any:
        """An array that holds one value many times as a broadcast of it, so that a program does not store it."""
        values = np.asarray(x)
        if values.size < _SMALL or (values != values.flat[0]).any():
            return x
        return jnp.full(values.shape, values.flat[0], values.dtype)

    return jax.tree.map(small, data)


def contact_room(model: mujoco.MjModel) -> int:
    """The largest number of contacts that a model's geoms can have at once, if none is a mesh or a height field."""
    kinds = [tuple(sorted((int(model.geom_type[a]), int(model.geom_type[b])))) for a, b in _pairs(model)]
    return sum(_most_contacts(*pair) for pair in kinds)


def constraint_room(model: mujoco.MjModel, contacts: int) -> int:
    """The largest number of rows of a model's constraints with so many contacts."""
    dimension = max([1, *model.geom_condim, *model.pair_dim])
    pyramidal = model.opt.cone == mujoco.mjtCone.mjCONE_PYRAMIDAL
    rows = 2 * (dimension - 1) if pyramidal and dimension > 1 else dimension
    limits = 2 * (int(model.jnt_limited.sum()) + int(model.tendon_limited.sum()))
    friction = int((model.dof_frictionloss > 0).sum() + (model.tendon_frictionloss > 0).sum())
    return max(1, int(contacts * rows + limits + friction + 6 * model.neq))


def _pairs(model: mujoco.MjModel) -> list[tuple[int, int]]:
    """Geoms that MuJoCo lets collide: its rules of contact types, of parents and children, and of excluded bodies."""
    excluded = {int(signature) for signature in model.exclude_signature}
    weld, parent = model.body_weldid, model.body_parentid
    filters_parents = not model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_FILTERPARENT
    found = [(int(a), int(b)) for a, b in zip(model.pair_geom1, model.pair_geom2, strict=True)]
    for a in range(model.ngeom):
        for b in range(a + 1, model.ngeom):
            if not (
                model.geom_contype[a] & model.geom_conaffinity[b] or model.geom_contype[b] & model.geom_conaffinity[a]
            ):
                continue
            body_a, body_b = sorted((int(model.geom_bodyid[a]), int(model.geom_bodyid[b])))
            weld_a, weld_b = int(weld[body_a]), int(weld[body_b])
            above_a, above_b = int(weld[parent[weld_a]]), int(weld[parent[weld_b]])
            related = filters_parents and weld_a and weld_b and (weld_a == above_b or weld_b == above_a)
            if weld_a != weld_b and not related and (body_a << 16) + body_b not in excluded:
                found.append((a, b))
    return found


def _most_contacts(a: int, b: int) -> int:
    if _SPHERE in (a, b):
        return 1
    if _CAPSULE in (a, b) and {a, b} <= {_PLANE, _CAPSULE, _BOX}:
        return 2
    return _MOST_OF_A_PAIR
