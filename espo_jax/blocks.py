"""Work proportional to the samples in use: sums and maps over the leading blocks of fixed-capacity arrays."""

from collections.abc import Callable
from typing import Any, TypeVar

import flax.struct
import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from safety_envs.lanes import lanes_max

from espo_jax import devices

Tree = TypeVar("Tree")


@custom_vmap
def select_running(running: jax.Array, new: Tree, old: Tree) -> Tree:
    """Take `new` for lanes that are running and `old` for the others; outside of vmap, where loops end, take `new`.

    Args:
      running: [] bool, whether the lane is running.
      new: values after a turn of the loop, a pytree.
      old: values before it, a pytree like new.
    """
    del running, old
    return new


@select_running.def_vmap
def _select_running_vmap(axis_size: int, in_batched: list, running: jax.Array, new: Tree, old: Tree) -> tuple:
    def lanes(batched: bool, x: jax.Array) -> jax.Array:
        return x if batched else jnp.broadcast_to(x, (axis_size, *x.shape))

    running, new, old = jax.tree.map(lanes, tuple(in_batched), (running, new, old))

    def select(n: jax.Array, o: jax.Array) -> jax.Array:
        return jax.vmap(jnp.where)(running, n, o)

    selected = jax.tree.map(select, new, old)
    return selected, jax.tree.map(lambda _: True, selected)


@flax.struct.dataclass
class Blocks:
    """The leading `count` blocks of `size` time steps of arrays whose first axis is time.

    Args:
      count: [] int32 number of blocks in use, the same for all vmapped lanes.
      size: number of time steps of a block; it divides the length of the first axis of every array.
    """

    count: jax.Array
    size: int = flax.struct.field(pytree_node=False)

    @classmethod
    def covering(cls, num_steps: jax.Array, size: int) -> "Blocks":
        """Blocks of `size` that hold the first `num_steps` (traced) time steps, in every vmapped lane."""
        return cls(count=lanes_max((num_steps + size - 1) // size), size=size)

    def sum(self, fn: Callable[[Any], Tree], data: Any) -> Tree:
        """Sum of fn(block) over the blocks in use. The environments may be spread over devices, see `devices`.

        The sum has no reverse derivative. Take gradients inside of fn, where the block is still in the cache.

        Raises:
          ValueError: the time axis is no multiple of the block size. The same holds for the other methods.
        """

        def of_device(data: Any) -> Tree:
            self._check(data)
            shape = jax.eval_shape(fn, self._block(data, 0))
            zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shape)
            return self.fold(lambda total, block: jax.tree.map(jnp.add, total, fn(block)), zeros, data)

        return devices.sum_by_device(of_device, data)

    def fold(self, fn: Callable[[Tree, Any], Tree], carry: Tree, data: Any) -> Tree:
        """What fn(carry, block) makes of the carry, block after block in use; it has no reverse derivative."""
        self._check(data)
        with jax.named_scope("blocks"):
            return jax.lax.fori_loop(0, self.count, lambda index, carry: fn(carry, self._block(data, index)), carry)

    def map(self, fn: Callable[[Any], Tree], data: Any) -> Tree:
        """Results of fn for every block in use, joined along time, and zeros for the others; differentiable."""
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), self._stack(fn, data))

    def sums(self, fn: Callable[[Any], Tree], data: Any) -> Tree:
        """fn(block) for every block in use on a new first axis, and zeros for the others; fn sums over samples."""
        return devices.sum_by_device(lambda data: self._stack(fn, data), data)

    def _stack(self, fn: Callable[[Any], Tree], data: Any) -> Tree:
        capacity = self._check(data)
        shape = jax.eval_shape(fn, self._block(data, 0))

        def one(index: jax.Array) -> Tree:
            def unused() -> Tree:
                return jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shape)

            return jax.lax.cond(index < self.count, lambda: fn(self._block(data, index)), unused)

        return jax.lax.map(one, jnp.arange(capacity // self.size))

    def _check(self, data: Any) -> int:
        """Length of the time axis. Whole blocks must fill it, since a slice past its end would be moved back."""
        lengths = sorted({x.shape[0] for x in jax.tree.leaves(data)})
        if len(lengths) != 1 or lengths[0] % self.size:
            raise ValueError(
                f"the first axis of the data has {' and '.join(map(str, lengths))} time steps: it must be one "
                f"multiple of the block size ({self.size}) for all arrays; pad them with unused time steps"
            )
        return lengths[0]

    def _block(self, data: Any, index: Any) -> Any:
        return jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, index * self.size, self.size), data)
