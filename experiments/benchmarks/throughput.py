"""Where the time goes: environment steps per second, compile time, memory, and the parts of an iteration.

    python experiments/benchmarks/throughput.py
    python experiments/benchmarks/throughput.py --num-envs 16 64 --num-seeds 8

For each number of environments: the bare environment, the rollout with the policy, and whole ESPO iterations with
the paper's settings. Then one iteration in parts, and several seeds vmapped against one.
"""

import dataclasses
import functools
from dataclasses import dataclass

import common
import jax
import jax.numpy as jnp
import tyro

from espo_jax import critic, natural_gradient, surrogate
from espo_jax.algorithms import iteration, natural_steps
from espo_jax.algorithms.batch import pose, prepare_batch, whiten
from espo_jax.presets import preset
from espo_jax.results import bench


@dataclass(frozen=True)
class Args:
    """Benchmark throughput.

    Attributes:
      task: task name.
      backend: physics pipeline.
      num_envs: numbers of parallel environments.
      detail_envs: number of environments of the parts and of the vmapped seeds.
      num_seeds: seeds vmapped; 0 leaves that part out.
      repeats: timed runs each.
      warm_iterations: iterations before the parts are measured.
    """

    task: str = "safety_reacher"
    backend: str = "spring"
    num_envs: tuple[int, ...] = (16, 64, 256, 1024, 4096)
    detail_envs: int = 16
    num_seeds: int = 8
    repeats: int = 5
    warm_iterations: int = 10


def size_for(task: str, num_envs: int) -> int:
    """The paper's X for the task, or the multiple of num_envs above it."""
    return -(-preset("paper", task)["base_sample_size"] // num_envs) * num_envs


def bare_fn(env, num_envs):
    """(state, num_steps) -> the unwrapped environment, vmapped, under one action."""
    action = jnp.full((num_envs, env.action_size), 0.1)
    step = jax.vmap(env.step)

    def run(state, num_steps):
        return jax.lax.fori_loop(0, num_steps, lambda _, s: step(s, action), state)

    return run


def by_num_envs(args: Args) -> str:
    rows = []
    for num_envs in args.num_envs:
        size = size_for(args.task, num_envs)
        env, algorithm, hp = common.make(args.task, args.backend, num_envs=num_envs, base_sample_size=size)
        state = jax.jit(algorithm.init)(jax.random.key(0), hp)
        num_steps = jnp.int32(size // num_envs)
        raw = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), num_envs))
        _, bare = common.compile_and_time(bare_fn(env, num_envs), raw, num_steps, repeats=args.repeats)
        rollout_fn = bench.rollout_fn(algorithm)
        _, rollout = common.compile_and_time(rollout_fn, state, jnp.int32(size), repeats=args.repeats)
        compile_seconds, whole = common.compile_and_time(algorithm.step, state, hp, repeats=args.repeats)
        speeds = [f"{size / seconds:,.0f}" for seconds in (bare, rollout, whole)]
        rows.append([num_envs, size, *speeds, f"{compile_seconds:.0f} s", common.peak_memory()])
    head = [
        "environments",
        "samples",
        "bare env",
        "with policy",
        "end to end",
        "compile iteration",
        "peak memory so far",
    ]
    return common.table(head, rows)


def parts(args: Args) -> str:
    _, algorithm, hp = common.make(args.task, args.backend, num_envs=args.detail_envs)
    config = algorithm.config
    state = jax.jit(algorithm.init)(jax.random.key(0), hp)
    step = jax.jit(algorithm.step)
    for _ in range(args.warm_iterations):
        state, _ = step(state, hp)
    networks = algorithm.networks._replace(whiten=functools.partial(whiten, config, state.normalizer))
    size = jnp.int32(config.base_sample_size)
    _, rollout = jax.jit(bench.rollout_fn(algorithm))(state, size)
    prepare = lambda rollout: prepare_batch(networks, config, state, rollout, hp)  # noqa: E731
    batch, target = jax.jit(prepare)(rollout)

    def gradients(batch):
        return surrogate.surrogate_gradients(
            networks.policy, state.policy, batch.observation, batch.action, batch.log_prob, batch.advantage,
            batch.mask, batch.blocks,
        )  # fmt: skip

    gradient = jax.jit(gradients)(batch)

    def conjugate_gradient(batch, gradient):
        fisher = natural_gradient.fisher_product(
            networks.policy,
            state.policy,
            *natural_steps.every_nth_step(batch, config.fisher_stride),
            damping=hp.cg_damping,
        )
        return natural_gradient.conjugate_gradient(fisher, gradient, num_iterations=config.cg_iterations)

    def line_search_trial(batch, gradient):
        problem = pose(networks, config, state, batch, state.episode, state.key, hp)
        return natural_steps.improvement_and_kl(problem, 1e-3 * gradient, jnp.eye(2))

    def critics(batch, target):
        return critic.OPTIMIZERS[config.critic_optimizer].fit(
            networks.critic, state.critics, state.critic_optimizer, state.key,
            critic.Samples(batch.observation, target, batch.mask, batch.blocks), iteration.critic_settings(config, hp),
        )  # fmt: skip

    at_base = dataclasses.replace(state, sample_size=size)
    measured = {
        "stepping": common.compile_and_time(bench.rollout_fn(algorithm), state, size, repeats=args.repeats)[1],
        "values, advantages": common.compile_and_time(prepare, rollout, repeats=args.repeats)[1],
        "gradients": common.compile_and_time(gradients, batch, repeats=args.repeats)[1],
        "conjugate gradient": common.compile_and_time(conjugate_gradient, batch, gradient, repeats=args.repeats)[1],
        "line search, per trial": common.compile_and_time(line_search_trial, batch, gradient, repeats=args.repeats)[1],
        "critics": common.compile_and_time(critics, batch, target, repeats=args.repeats)[1],
        "whole iteration": common.median_seconds(lambda: step(at_base, hp), args.repeats),
    }
    whole = measured["whole iteration"]
    return common.table(
        ["part", "ms", "share"], [[k, f"{1e3 * t:.1f}", f"{100 * t / whole:.0f} %"] for k, t in measured.items()]
    )


def vmapped_seeds(args: Args) -> str:
    seeds, num_envs = args.num_seeds, args.detail_envs
    _, algorithm, hp = common.make(args.task, args.backend, num_envs=num_envs)
    keys = jax.random.split(jax.random.key(0), seeds)
    one = jax.jit(algorithm.init)(keys[0], hp)
    many = jax.jit(jax.vmap(algorithm.init, in_axes=(0, None)))(keys, hp)
    step, step_all = jax.jit(algorithm.step), jax.jit(jax.vmap(algorithm.step, in_axes=(0, None)))
    for _ in range(args.warm_iterations):
        one, many = step(one, hp)[0], step_all(many, hp)[0]
    size = jnp.int32(algorithm.config.base_sample_size)
    run = bench.rollout_fn(algorithm)
    _, wide_algorithm, wide_hp = common.make(
        args.task, args.backend, num_envs=seeds * num_envs, base_sample_size=seeds * algorithm.config.base_sample_size
    )
    wide = jax.jit(wide_algorithm.init)(keys[0], wide_hp)
    over_seeds, widely = jax.jit(jax.vmap(run, in_axes=(0, None))), jax.jit(bench.rollout_fn(wide_algorithm))
    run = jax.jit(run)
    medians = common.interleaved_median_seconds(
        {
            "one": lambda: run(one, size),
            "many": lambda: over_seeds(many, size),
            "wide": lambda: widely(wide, seeds * size),
            "whole one": lambda: step(one, hp),
            "whole many": lambda: step_all(many, hp),
        },
        args.repeats,
    )
    steppings = [medians[name] for name in ("one", "many", "wide")]
    wholes = [medians[name] for name in ("whole one", "whole many")]
    rows = [
        ["one seed", f"{steppings[0]:.3f} s", f"{wholes[0]:.3f} s"],
        [f"{seeds} seeds vmapped", f"{steppings[1]:.3f} s", f"{wholes[1]:.3f} s"],
        [f"{seeds} x {num_envs} environments in one lane", f"{steppings[2]:.3f} s", ""],
        [
            f"vmapped / ({seeds} x one)",
            f"{steppings[1] / steppings[0] / seeds:.2f}",
            f"{wholes[1] / wholes[0] / seeds:.2f}",
        ],
        ["vmapped / one wide lane", f"{steppings[1] / steppings[2]:.2f}", ""],
    ]
    return common.table(["", "stepping", "whole iteration"], rows)


def main(args: Args) -> None:
    print(common.machine())
    print(f"{args.task} on {args.backend}, paper's settings; steps per second, medians of {args.repeats} runs\n")
    print(by_num_envs(args), flush=True)
    print(f"\nOne iteration of X samples in parts, {args.detail_envs} environments\n")
    print(parts(args), flush=True)
    if args.num_seeds:
        print(f"\n{args.num_seeds} seeds vmapped, {args.detail_envs} environments each\n")
        print(vmapped_seeds(args))


if __name__ == "__main__":
    main(tyro.cli(Args))
