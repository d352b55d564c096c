"""What the iterations of the algorithms become on a TPU, compiled without one: memory, code size, collectives, kernels.

    pip install -e ".[tpu]"
    python experiments/benchmarks/tpu.py
    python experiments/benchmarks/tpu.py --algorithms espo --task safety_hopper_velocity --backend generalized

libtpu compiles for a topology that is not there. Eight lanes, runs of different seeds, are spread over the eight chips
of a TPU v5e by `shard_map`, so that a chip's program is that of one run; lanes need nothing of each other, and there
should be no collective. Nothing is run. A program takes one to four minutes to compile.
"""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-8")
os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # asks a service of the cloud what it runs on

import json
import re
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import common
import jax
import numpy as np
import tyro
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from espo_jax import algorithms
from espo_jax.algorithms.iteration import Algorithm
from espo_jax.hyperparams import Hyperparams
from espo_jax.loop import over_seeds, program_bytes

TOPOLOGY = "v5e:2x4"
_COLLECTIVE = re.compile(
    r" = \S+.* (all-reduce|all-gather|reduce-scatter|all-to-all|ragged-all-to-all|collective-permute|"
    r"collective-broadcast)(?:-start)?\("
)


@dataclass(frozen=True)
class Args:
    """Compile iterations for a TPU.

    Attributes:
      algorithms: algorithms.
      task: task name.
      backend: physics.
      num_envs: number of parallel environments of a lane.
      json: file to write the figures to.
    """

    algorithms: tuple[str, ...] = tuple(algorithms.RULES)
    task: str = "safety_reacher"
    backend: str = "spring"
    num_envs: int = 64
    json: Path | None = None


def devices() -> list[Any]:
    """The chips of the topology; they can be compiled for, and hold nothing."""
    return topologies.get_topology_desc(platform="tpu", topology_name=TOPOLOGY).devices


def compile_lanes(algorithm: Algorithm, hyperparams: Hyperparams) -> jax.stages.Compiled:
    """An iteration of one lane on each chip."""
    mesh = Mesh(np.array(devices()), "lanes")
    lanes = over_seeds(algorithm)
    step = jax.shard_map(
        lanes.step,
        mesh=mesh,
        in_specs=(PartitionSpec("lanes"), PartitionSpec()),
        out_specs=PartitionSpec("lanes"),
        check_vma=False,
    )
    keys = jax.random.split(jax.random.key(0), len(mesh.devices))
    state = jax.eval_shape(lanes.init, keys, hyperparams)

    def on_mesh(spec: PartitionSpec, x: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=NamedSharding(mesh, spec))

    state = jax.tree.map(partial(on_mesh, PartitionSpec("lanes")), state)
    hyperparams = jax.tree.map(partial(on_mesh, PartitionSpec()), hyperparams)
    return jax.jit(step, donate_argnums=0).lower(state, hyperparams).compile()


def figures(args: Args, name: str) -> dict[str, Any]:
    """Figures of one algorithm, for each chip."""
    jax.default_backend = lambda: "tpu"  # what `make` asks for
    _, algorithm, hyperparams = common.make(args.task, args.backend, algorithm=name, num_envs=args.num_envs)
    begin = time.perf_counter()
    compiled = compile_lanes(algorithm, hyperparams)
    text = compiled.as_text()
    return {
        "algorithm": name,
        "task": args.task,
        "backend": args.backend,
        "num_envs": args.num_envs,
        "base_sample_size": algorithm.config.base_sample_size,
        "chips": len(devices()),
        "compile_seconds": time.perf_counter() - begin,
        "bytes": program_bytes(compiled),
        "code_bytes": compiled.memory_analysis().generated_code_size_in_bytes,
        "collectives": _COLLECTIVE.findall(text),
    }


def main(args: Args) -> None:
    print(f"{args.task} on {args.backend}, {args.num_envs} environments a lane, one lane on each chip of {TOPOLOGY}")
    print(f"jax {jax.__version__}\n")
    print(common.table(["algorithm", "MB a chip", "code MB", "collectives", "compile s"], []), flush=True)
    found = []
    for name in args.algorithms:
        it = figures(args, name)
        found.append(it)
        cells = [it["bytes"] / 1e6, it["code_bytes"] / 1e6, len(it["collectives"]), it["compile_seconds"]]
        print("| " + " | ".join([name, *(f"{cell:,.0f}" for cell in cells)]) + " |", flush=True)
        if args.json:
            args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(tyro.cli(Args))
