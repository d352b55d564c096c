"""Several processes at one sweep, perhaps on several machines, that `jax.distributed` introduces to each other."""

import re

import jax

from espo_jax.settings import shown

AUTO = "auto"
_ADDRESS = re.compile(r"(?P<address>[\w.\-\[\]:]+:\d{1,5}),(?P<count>\d{1,6}),(?P<index>\d{1,6})")


def check(text: str) -> None:
    """Refuse what does not say how processes find each other.

    Raises:
      ValueError: saying what is allowed.
    """
    match = _ADDRESS.fullmatch(text)
    if text != AUTO and (match is None or not 0 <= int(match["index"]) < int(match["count"])):
        raise ValueError(
            f"distributed is {shown(text)}: it must be {AUTO}, or address:port,count,index with an index below the "
            "count, such as 10.0.0.1:1234,2,0"
        )


def join(text: str) -> None:
    """Join the processes of a sweep; before anything else of JAX is used.

    Args:
      text: AUTO on a cluster that JAX knows (SLURM, TPU pods and others), or address:port,count,index.

    Raises:
      ValueError: the text says nothing of the kind, or the others do not come.
    """
    check(text)
    match = _ADDRESS.fullmatch(text)
    try:
        if match is None:
            jax.distributed.initialize()
        else:
            jax.distributed.initialize(match["address"], int(match["count"]), int(match["index"]))
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"distributed is {shown(text)}: {' '.join(str(error).split())[:300]}") from None
    jax.config.update("jax_default_device", jax.local_devices()[0])  # else it is one of the first process


def in_turn(items: list) -> list:
    """The items, beginning with the share of this process, so that processes begin at different ones."""
    begin = jax.process_index() * len(items) // jax.process_count()
    return items[begin:] + items[:begin]
