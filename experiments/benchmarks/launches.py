"""How many kernels one iteration runs in sequence, and how much memory it takes: counted, not timed.

    python experiments/benchmarks/launches.py
    python experiments/benchmarks/launches.py --algorithms espo cup --samples 1048576 --num-envs 4096 --platform cpu
    python experiments/benchmarks/launches.py --samples 1048576 --num-envs 4096 --platform tpu --compiler tpu

The iteration is compiled, not run. Every operation of the compiled program that does work counts as a kernel, times the
trip counts of the loops around it. XLA knows the trip count of most loops; of those that depend on data it is taken for
a typical iteration: all X samples, a line search that accepts its first step, L-BFGS that accepts every step, no reset
drawn. "Looks" are the turns of these: a GPU waits for the host at each. An accelerator fuses other operations than a
CPU does, so read the numbers against each other; with libtpu (extra tpu) XLA's compiler for TPUs fuses them.
Memory is arguments, results and temporary arrays of all lanes.
"""

import collections
import itertools
import math
import os
import re
from dataclasses import dataclass
from typing import Literal

os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0"  # same operations

import common
import jax
import tpu
import tyro
from jax.sharding import SingleDeviceSharding

from espo_jax.config import Config
from espo_jax.loop import program_bytes
from espo_jax.parallel import over_seeds

# Operations that do no work, or whose copy runs beside other kernels.
_FREE = {
    "after-all", "bitcast", "call", "conditional", "constant", "copy-done", "copy-start", "get-tuple-element",
    "opt-barrier", "parameter", "slice-done", "slice-start", "tuple", "while",
}  # fmt: skip
_LOOKS = "looks"
PARTS = ("roll_out", "estimate_episodes", "prepare_batch", "update_policy", "fit_critics", "next_sample_size")
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?[\w.\-]+ = .*? ([a-z][\w\-]*)\(")


@dataclass(frozen=True)
class Args:
    """Count the kernels and the memory of an iteration.

    Attributes:
      algorithms: algorithms.
      task: task name.
      backend: physics.
      samples: numbers of samples X.
      num_envs: numbers of parallel environments.
      lanes: numbers of runs that are vmapped into one program.
      platform: kind of device for which the sizes of blocks, chunks and minibatches are chosen: cpu, gpu or tpu.
      compiler: XLA's compiler that makes the kernels.
    """

    algorithms: tuple[str, ...] = ("espo",)
    task: str = "safety_reacher"
    backend: str = "spring"
    samples: tuple[int, ...] = (2**14, 2**17, 2**20)
    num_envs: tuple[int, ...] = (256, 1024, 4096, 16384)
    lanes: tuple[int, ...] = (1,)
    platform: str = "gpu"
    compiler: Literal["cpu", "tpu"] = "cpu"


def trips_of_loops(config: Config) -> dict[str, float]:
    """Trip counts of the loops that depend on data, by the named scope that they stand in."""
    samples = config.base_sample_size
    steps = math.ceil(samples / config.num_envs)
    sizes = {"fit_critics": config.critic_samples_per_minibatch, "update_policy": config.policy_samples_per_minibatch}
    passes = {"fit_critics": config.critic_passes, "update_policy": config.policy_passes}
    return {
        "time_steps": math.ceil(steps / config.steps_per_chunk),
        "draw_resets": 0,
        "blocks": math.ceil(steps / config.steps_per_block),
        "trials": config.lbfgs_iterations,
        "halvings": 1,
        **{f"{part}/passes": n for part, n in passes.items()},
        **{f"{part}/minibatches": math.ceil(samples / n) for part, n in sizes.items()},
    }


def kernels(program: str, trips: dict[str, float]) -> collections.Counter[str]:
    """Number of kernels by part of the iteration, and of looks at the data.

    Args:
      program: text of the compiled program.
      trips: trip counts of the loops whose count the program does not have, by named scope.
    """
    bodies: dict[str, list[str]] = collections.defaultdict(list)
    name = entry = ""
    for line in program.splitlines():
        if match := _COMPUTATION.match(line):
            name = match[1]
            entry = name if line.startswith("ENTRY") else entry
        elif name:
            bodies[name].append(line)

    def count(name: str, part: str) -> collections.Counter[str]:
        """Kernels of a computation that is called from a part of the iteration."""
        total: collections.Counter[str] = collections.Counter()
        for line in bodies[name]:
            match = _INSTRUCTION.match(line)
            if match is None:
                continue
            here = _part(line) or part
            if match[1] == "while":
                turn = count(_called(line, "body"), here) + count(_called(line, "condition"), here)
                turns = _known_trip_count(line, bodies[_called(line, "condition")])
                if turns is None:
                    turns = _trip_count_by_data(line, trips)
                    turn[_LOOKS] += 1
                total.update({name: number * turns for name, number in turn.items()})
            elif match[1] == "call":
                total.update(count(_called(line, "to_apply"), here))
            elif match[1] == "conditional":
                branches = re.findall(
                    r"(?:branch_computations=\{|(?:true|false)_computation=)([^},]+(?:, [^}]+)?)", line
                )
                called = [name.strip(" %") for group in branches for name in group.split(",")]
                total.update(max((count(name, here) for name in called), key=lambda counts: sum(counts.values())))
            elif match[1] not in _FREE:
                total[here] += 1
        return total

    return count(entry, "rest")


def _called(line: str, role: str) -> str:
    found = re.search(rf"{role}=%?([\w.\-]+)", line)
    assert found is not None, line
    return found[1]


def _scope(line: str) -> str:
    """Named scopes around an instruction, without the transformations that they went through, such as vmap(blocks)."""
    found = re.search(r'op_name="([^"]*)"', line)
    return re.sub(r"(?:vmap|jvp|transpose)\(([^()]*)\)", r"\1", found[1]) if found else ""


def _part(line: str) -> str:
    return next((part for part in PARTS if f"/{part}/" in _scope(line)), "")


def _known_trip_count(line: str, condition: list[str]) -> int | None:
    """The trip count of a loop if the program has it: as a note, or as a condition that compares with a constant."""
    if known := re.search(r'known_trip_count":\{"n":"(\d+)"', line):
        return int(known[1])
    constants = dict(re.findall(r"%?([\w.\-]+) = s32\[\]\S* constant\((\d+)\)", "\n".join(condition)))
    compared = re.search(r"ROOT .* compare\([^,]+, %?([\w.\-]+)\), direction=LT", "\n".join(condition))
    return int(constants[compared[1]]) if compared and compared[1] in constants else None


def _trip_count_by_data(line: str, trips: dict[str, float]) -> float:
    """The count of the innermost named scope around a loop that depends on data."""
    scope = _scope(line)
    around = scope.split("/while")
    for name, number in trips.items():
        part, _, loop = name.rpartition("/")
        if around[-2].endswith(f"/{loop}") and part in scope:
            return number
    raise SystemExit(f"no trip count for the loop {scope!r}")


def row(args: Args, name: str, samples: int, num_envs: int, lanes: int) -> list[str]:
    """One compiled iteration: kernels by part, and bytes."""
    settings = {"num_envs": num_envs, "base_sample_size": samples}
    jax.default_backend = lambda: args.platform  # what `make` asks for
    _, algorithm, hp = common.make(args.task, args.backend, algorithm=name, **settings)
    key = jax.random.key(0)
    if lanes > 1:
        algorithm, key = over_seeds(algorithm), jax.random.split(key, lanes)
    state = jax.eval_shape(algorithm.init, key, hp)
    if args.compiler == "tpu":
        place = SingleDeviceSharding(tpu.devices()[0])
        state, hp = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), (state, hp))
    compiled = jax.jit(algorithm.step, donate_argnums=0).lower(state, hp).compile()
    counts = kernels(compiled.as_text(), trips_of_loops(algorithm.config))
    looks = counts.pop(_LOOKS, 0)
    numbers = [counts[part] for part in (*PARTS, "rest")]
    return [
        name,
        f"{samples:,}",
        f"{num_envs:,}",
        f"{lanes:,}",
        *(f"{n:,.0f}" for n in (*numbers, sum(numbers), looks)),
        f"{program_bytes(compiled) / 1e6:,.0f}",
    ]


def main(args: Args) -> None:
    print(common.machine())
    print(
        f"{args.task} on {args.backend}, sizes for a {args.platform}, XLA's compiler for a {args.compiler}; "
        "kernels of one iteration in sequence, and MB\n"
    )
    head = ["algorithm", "X", "environments", "lanes", *PARTS, "rest", "all", _LOOKS, "MB"]
    print(common.table(head, []), flush=True)
    for cell in itertools.product(args.algorithms, args.samples, args.num_envs, args.lanes):
        _, samples, num_envs, _ = cell
        if num_envs <= samples:
            print("| " + " | ".join(row(args, *cell)) + " |", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Args))
