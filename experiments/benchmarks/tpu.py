"""What the iterations of the algorithms become on a TPU, compiled without one: memory, code size, collectives, kernels.

    pip install -e ".[tpu]"
    python experiments/benchmarks/tpu.py
    python experiments/benchmarks/tpu.py --algorithms espo --task safety_hopper_velocity --backend generalized

    python experiments/benchmarks/tpu.py --algorithms espo --lanes 1024 --pack-size 128
    python experiments/benchmarks/tpu.py --algorithms espo --num-envs 1024 --environments

libtpu compiles for a topology that is not there. The lanes of a sweep are spread over the eight chips of a TPU v5e;
lanes need nothing of each other, and there should be no collective. With --environments it is one run whose
environments are spread, and what the chips exchange is listed. Nothing is run. A program takes one to four minutes to
compile.
"""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-8")
os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # asks a service of the cloud what it runs on

import collections
import dataclasses
import functools
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import common
import jax
import tyro
from jax.experimental import topologies

from espo_jax import algorithms, parallel
from espo_jax.algorithms.iteration import Algorithm
from espo_jax.devices import mesh_of
from espo_jax.devices import sharding as environments
from espo_jax.hyperparams import Hyperparams
from espo_jax.loop import program_bytes
from espo_jax.sweeps.packs import in_packs, over_devices, sharding

TOPOLOGY = "v5e:2x4"


@dataclass(frozen=True)
class Args:
    """Compile iterations for a TPU.

    Attributes:
      algorithms: algorithms.
      task: task name.
      backend: physics.
      num_envs: number of parallel environments of a lane.
      lanes: number of lanes, spread over the chips.
      pack_size: number of lanes that a chip works on at the same time.
      environments: compile one run, whose environments are spread over the chips, and list what the chips exchange.
      json: file to write the figures to.
    """

    algorithms: tuple[str, ...] = tuple(algorithms.RULES)
    task: str = "safety_reacher"
    backend: str = "spring"
    num_envs: int = 64
    lanes: int = 8
    pack_size: int = 1
    environments: bool = False
    json: Path | None = None


@functools.cache
def devices() -> list[Any]:
    """The chips of the topology; they can be compiled for, and hold nothing."""
    return topologies.get_topology_desc(platform="tpu", topology_name=TOPOLOGY).devices


def compile_lanes(algorithm: Algorithm, hyperparams: Hyperparams, lanes: int, pack_size: int) -> jax.stages.Compiled:
    """An iteration of a sweep, each chip at work on its share of the lanes."""
    several = over_devices(in_packs(algorithm, pack_size), devices())

    def place(x: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding(devices()))

    hyperparams = jax.tree.map(lambda x: jax.ShapeDtypeStruct((lanes, *x.shape), x.dtype), hyperparams)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), lanes))
    state = jax.eval_shape(in_packs(algorithm, pack_size).init, keys, hyperparams)
    active = jax.ShapeDtypeStruct((lanes,), bool)
    return jax.jit(several.step, donate_argnums=0).lower(*jax.tree.map(place, (state, hyperparams, active))).compile()


def compile_run(algorithm: Algorithm, hyperparams: Hyperparams) -> jax.stages.Compiled:
    """An iteration of one run, each chip at work on its share of the environments."""
    several, mesh = parallel.over_devices(algorithm, devices()), mesh_of(devices())
    state = jax.eval_shape(algorithm.init, jax.random.key(0), hyperparams)
    axes = algorithm.env.env_axes(state.env_state)

    def place(x: Any, axis: int | None = None) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=environments(mesh, axis))

    shared = jax.tree.map(place, dataclasses.replace(state, env_state=()))
    state = dataclasses.replace(shared, env_state=jax.tree.map(place, state.env_state, axes))
    hyperparams = jax.tree.map(place, hyperparams)
    return jax.jit(several.step, donate_argnums=0).lower(state, hyperparams).compile()


def figures(args: Args, name: str) -> dict[str, Any]:
    """Figures of one algorithm, for each chip."""
    jax.default_backend = lambda: "tpu"  # what `make` asks for
    _, algorithm, hyperparams = common.make(args.task, args.backend, algorithm=name, num_envs=args.num_envs)
    begin = time.perf_counter()
    if args.environments:
        compiled = compile_run(algorithm, hyperparams)
    else:
        compiled = compile_lanes(algorithm, hyperparams, args.lanes, args.pack_size)
    return {
        "algorithm": name,
        "task": args.task,
        "backend": args.backend,
        "num_envs": args.num_envs,
        "lanes": 1 if args.environments else args.lanes,
        "pack_size": args.pack_size,
        "base_sample_size": algorithm.config.base_sample_size,
        "chips": len(devices()),
        "compile_seconds": time.perf_counter() - begin,
        "bytes": program_bytes(compiled),
        "code_bytes": compiled.memory_analysis().generated_code_size_in_bytes,
        "collectives": parallel.collectives(compiled),
    }


def main(args: Args) -> None:
    what = "one run" if args.environments else f"{args.lanes:,} lanes in packs of {args.pack_size}"
    print(f"{args.task} on {args.backend}, {args.num_envs} environments a lane, {what} on {TOPOLOGY}")
    print(f"jax {jax.__version__}\n")
    print(common.table(["algorithm", "MB a chip", "code MB", "collectives", "compile s"], []), flush=True)
    found = []
    for name in args.algorithms:
        it = figures(args, name)
        found.append(it)
        cells = [it["bytes"] / 1e6, it["code_bytes"] / 1e6, len(it["collectives"]), it["compile_seconds"]]
        print("| " + " | ".join([name, *(f"{cell:,.0f}" for cell in cells)]) + " |", flush=True)
        for (kind, where), count in collections.Counter(it["collectives"]).items():
            print(f"  {count} {kind} {where}", flush=True)
        if args.json:
            args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(tyro.cli(Args))
