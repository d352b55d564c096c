"""Control steps per second of tasks on every physics, and of what else steps the same models on this machine.

    python experiments/benchmarks/physics.py
    python experiments/benchmarks/physics.py --tasks safety_hopper --backends mujoco spring --num-envs 64

For each task, backend and number of environments: the masked rollout of 16,384 samples at most, of a policy of two
hidden layers of 64, resets included, inside one jitted program. Beside them, on the models that Gymnasium has: MuJoCo's
own `mujoco.rollout` with one thread per core under controls as a new policy draws them ("bare engine": no policy, no
resets but every 1,000 steps, no observations), Gymnasium's vector environments and, where it is installed, envpool,
stepped from Python with random actions.
"""

import functools
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import common
import gymnasium
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import safety_envs
import tyro
from mujoco import rollout

from espo_jax.results import bench

GYMNASIUM = {
    "ant": "Ant-v4",
    "halfcheetah": "HalfCheetah-v4",
    "hopper": "Hopper-v4",
    "humanoid": "Humanoid-v4",
    "humanoidstandup": "HumanoidStandup-v4",
    "pusher": "Pusher-v5",
    "reacher": "Reacher-v4",
    "swimmer": "Swimmer-v4",
    "walker2d": "Walker2d-v4",
}


@dataclass(frozen=True)
class Args:
    """Benchmark physics.

    Attributes:
      tasks: task names.
      backends: backends; those that cannot run a task are left out.
      num_envs: numbers of parallel environments.
      rivals: whether to step the same models with the bare engine, Gymnasium and envpool.
      rival_envs: their number of environments.
      seconds: length of a timed run.
      repeats: timed runs each, of which the median counts.
    """

    tasks: tuple[str, ...] = safety_envs.task_names()
    backends: tuple[str, ...] = safety_envs.BACKENDS
    num_envs: tuple[int, ...] = (1, 16, 64, 256, 1024)
    rivals: bool = True
    rival_envs: int = 64
    seconds: float = 1.0
    repeats: int = 5


Run = Callable[[int], None]  # steps all environments that many times


def steps_per_second(runs: dict[str, Run], num_envs: int, args: Args, most: int = 10**9) -> dict[str, float]:
    """Environments times control steps per second of each run, in turns of about args.seconds; each warms up twice."""
    turns, sizes = {}, {}
    for name, run in runs.items():
        trial = min(most, max(2, 256 // num_envs))
        run(trial)
        begin = time.perf_counter()
        run(trial)
        sizes[name] = int(np.clip(trial * args.seconds / (time.perf_counter() - begin), 1, most))
        turns[name] = functools.partial(run, sizes[name])
    medians = common.interleaved_median_seconds(turns, args.repeats)
    return {name: num_envs * sizes[name] / seconds for name, seconds in medians.items()}


def jitted(task: str, backend: str, num_envs: int) -> tuple[Run, int, float]:
    """The jitted rollout of about the paper's X, the most steps it can take, and seconds to compile it."""
    capacity = 16_384 // num_envs
    sizes = {"num_envs": num_envs, "base_sample_size": capacity * num_envs, "zeta_positive": 0.0}
    _, algorithm, hp = common.make(task, backend, **sizes)
    state = jax.jit(algorithm.init)(jax.random.key(0), hp)
    begin = time.perf_counter()
    compiled = jax.jit(bench.rollout_fn(algorithm)).lower(state, jnp.int32(1)).compile()
    compile_seconds = time.perf_counter() - begin
    run = lambda num_steps: jax.block_until_ready(compiled(state, jnp.int32(num_steps * num_envs)))  # noqa: E731
    return run, capacity, compile_seconds


def bare_engine(task: str, num_envs: int) -> Run:
    """The C engine on one thread per core, whole trajectories at a time."""
    env = safety_envs.make(task, backend="mujoco")
    model, frame_skip = env.sys.model, env.task.frame_skip
    data = mujoco.MjData(model)
    full = int(mujoco.mjtState.mjSTATE_FULLPHYSICS)
    start = np.empty(mujoco.mj_stateSize(model, full))
    mujoco.mj_getState(model, data, start, full)
    threads = [mujoco.MjData(model) for _ in range(len(os.sched_getaffinity(0)))]
    pool = rollout.Rollout(nthread=len(threads))
    low, high = model.actuator_ctrlrange.T
    control = np.clip(np.random.default_rng(0).normal(size=(num_envs, 1000, model.nu)), low, high)
    control = np.repeat(control, frame_skip, axis=1)

    def run(num_steps):
        for length in (1000,) * (num_steps // 1000) + (num_steps % 1000,):
            if length:
                pool.rollout(model, threads, np.tile(start, (num_envs, 1)), control[:, : length * frame_skip])

    return run


def python_vector(envs, num_envs: int) -> Run:
    """A Gymnasium-like vector environment stepped from Python."""
    envs.reset()
    actions = np.random.default_rng(0).uniform(-0.4, 0.4, (8, num_envs, envs.action_space.shape[-1]))

    def run(num_steps):
        for t in range(num_steps):
            envs.step(actions[t % len(actions)])

    return run


def rivals(task: str, num_envs: int, args: Args) -> dict[str, float]:
    """Steps per second of the jitted rollout on the engine and of everything else that steps the task's model."""
    name = GYMNASIUM[task.split("_")[1]]
    inside, most, _ = jitted(task, "mujoco", num_envs)
    runs = {"mujoco, jitted": inside, "bare engine": bare_engine(task, num_envs)}
    vectors = {
        f"Gymnasium {mode}": gymnasium.make_vec(name, num_envs=num_envs, vectorization_mode=mode)
        for mode in ("sync", "async")
    }
    try:
        import envpool

        vectors["envpool"] = envpool.make_gymnasium(name.replace("-v5", "-v4"), num_envs=num_envs)
    except (ImportError, OSError) as error:  # not installed, or installed without its data
        print(f"envpool is left out: {error}", file=sys.stderr)
    runs |= {key: python_vector(envs, num_envs) for key, envs in vectors.items()}
    try:
        return steps_per_second(runs, num_envs, args, most)
    finally:
        for envs in vectors.values():
            envs.close()


def main(args: Args) -> None:
    print(common.machine())
    print(f"control steps per second, medians of {args.repeats} runs of about {args.seconds:g} s\n")
    print(f"| task | backend | {' | '.join(map(str, args.num_envs))} | compile |")
    print("|---" * (len(args.num_envs) + 3) + "|", flush=True)
    for task in args.tasks:
        for backend in args.backends:
            if backend in safety_envs.describe(task).refused:
                continue
            cells, slowest = [], 0.0
            for num_envs in args.num_envs:
                run, most, compile_seconds = jitted(task, backend, num_envs)
                cells.append(f"{steps_per_second({'': run}, num_envs, args, most)['']:,.0f}")
                slowest = max(slowest, compile_seconds)
            print(f"| {task} | {backend} | {' | '.join(cells)} | {slowest:.0f} s |", flush=True)
    if not args.rivals:
        return
    print(f"\n{args.rival_envs} environments of the same model; share: mujoco in the jitted rollout / bare engine\n")
    head = None
    for task in args.tasks:
        speeds = rivals(task, args.rival_envs, args)
        if head is None:
            head = list(speeds)
            print(f"| task | {' | '.join(head)} | share |")
            print("|---" * (len(head) + 2) + "|")
        share = f"{100 * speeds['mujoco, jitted'] / speeds['bare engine']:.0f} %"
        print(f"| {task} | {' | '.join(f'{speeds[k]:,.0f}' for k in head)} | {share} |", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Args))
