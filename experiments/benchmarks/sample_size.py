"""Do fewer samples cost less time? One compiled program at several sample sizes, in one run.

    python experiments/benchmarks/sample_size.py

Stepping alone and whole iterations of ESPO with the paper's settings; goals on a CPU: time(0.5 X) / time(X) <= 0.6
and time(0.25 X) / time(X) <= 0.35.
"""

import dataclasses
from dataclasses import dataclass

import common
import jax
import jax.numpy as jnp
import tyro

from espo_jax import presets
from espo_jax.results import bench


@dataclass(frozen=True)
class Args:
    """Benchmark the time of an iteration against its sample size.

    Attributes:
      task: task name.
      backend: physics pipeline.
      num_envs: parallel environments.
      samples_per_env: X is at least this many samples of every environment.
      repeats: timed runs per size.
      warm_iterations: iterations before measuring, so that the critics are past their first fit.
      shares: sample sizes as multiples of X, at most 1.1.
    """

    task: str = "safety_reacher"
    backend: str = "spring"
    num_envs: int = 16
    samples_per_env: int = 1
    repeats: int = 15
    warm_iterations: int = 10
    shares: tuple[float, ...] = (0.25, 0.5, 1.0, 1.1)


def main(args: Args) -> None:
    published = presets.preset(presets.PAPER, args.task)["base_sample_size"]
    size = max(published, args.samples_per_env * args.num_envs)
    _, algorithm, hp = common.make(args.task, args.backend, num_envs=args.num_envs, base_sample_size=size)
    config = algorithm.config
    state = jax.jit(algorithm.init)(jax.random.key(0), hp)
    step = jax.jit(algorithm.step)
    for _ in range(args.warm_iterations):
        state, _ = step(state, hp)

    stepping = jax.jit(bench.rollout_fn(algorithm))
    runs = {}
    for share in args.shares:
        size = jnp.int32(round(share * config.base_sample_size))
        sized = dataclasses.replace(state, sample_size=size)
        runs[share, "stepping"] = lambda s=sized, n=size: stepping(s, n)
        runs[share, "iteration"] = lambda s=sized: step(s, hp)
    medians = common.interleaved_median_seconds(runs, args.repeats)
    seconds = {share: [medians[share, part] for part in ("stepping", "iteration")] for share in args.shares}
    rows = [
        [f"{share} X", round(share * config.base_sample_size)]
        + [f"{t:.3f} s ({t / base:.2f})" for t, base in zip(seconds[share], seconds[1.0], strict=True)]
        for share in args.shares
    ]
    print(common.machine())
    print(f"{args.task} on {args.backend}, {args.num_envs} environments, X = {config.base_sample_size}")
    print(common.table(["size", "samples", "stepping (ratio to X)", "whole iteration (ratio to X)"], rows))
    print(f"compiled programs: stepping {stepping._cache_size()}, iteration {step._cache_size()}")


if __name__ == "__main__":
    main(tyro.cli(Args))
