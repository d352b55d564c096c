"""What one update of each algorithm costs, relative to ESPO's, on the same samples in one run.

    python experiments/benchmarks/algorithms.py
    python experiments/benchmarks/algorithms.py --task safety_hopper_velocity --backend mujoco

"update": the update rule alone, on X samples of a policy trained for a few iterations by ESPO. "iteration": all of it,
stepping and critics included, on X samples. Paper's settings of each algorithm; medians of runs taken in turns.
"""

import dataclasses
import functools
from dataclasses import dataclass

import common
import jax
import jax.numpy as jnp
import safety_envs
import tyro

import espo_jax
from espo_jax import algorithms
from espo_jax.algorithms import checks, iteration
from espo_jax.algorithms.batch import pose, prepare_batch, whiten
from espo_jax.episode_estimate import estimate_episodes
from espo_jax.presets import preset, resolve
from espo_jax.results import bench


@dataclass(frozen=True)
class Args:
    """Benchmark algorithms.

    Attributes:
      task: task name.
      backend: physics.
      algorithms: names; the first is what the others are held against.
      sample_sizes: rules whose own cost is measured, on ESPO's update.
      warm_iterations: iterations of training before anything is measured.
      repeats: timed runs each, of which the median counts.
    """

    task: str = "safety_reacher"
    backend: str = "spring"
    algorithms: tuple[str, ...] = tuple(algorithms.RULES)
    sample_sizes: tuple[str, ...] = ("gradient_conflict", "conflict_angle", "norm_test", "inner_product_test")
    warm_iterations: int = 45
    repeats: int = 9


def make(args: Args, name: str, **changes):
    env = safety_envs.make(args.task, backend=args.backend)
    config, values = resolve({**preset("paper", args.task, name), **changes}, env)
    return algorithms.make(name, env, config), espo_jax.Hyperparams.create(**values, config=config)


def samples(args: Args):
    """A trained state and X samples of it, by the first algorithm."""
    algorithm, hp = make(args, args.algorithms[0])
    step = jax.jit(algorithm.step)
    state = jax.jit(algorithm.init)(jax.random.key(0), hp)
    for _ in range(args.warm_iterations):
        state, _ = step(state, hp)
    size = jnp.int32(algorithm.config.base_sample_size)
    _, rollout = jax.jit(bench.rollout_fn(algorithm))(state, size)
    return dataclasses.replace(state, sample_size=size), rollout


def update_fn(name, algorithm, hp, state):
    """(samples) -> what the update rule makes of them, and the next sample size; state and settings are constants."""
    rule = algorithms.RULES[name]
    _, size_rule = checks.settle(algorithm.config, rule)
    config = algorithm.config
    networks = algorithm.networks._replace(whiten=functools.partial(whiten, config, state.normalizer))
    rule_state = rule.init(networks, state.policy, config, hp)

    def run(rollout):
        batch, _ = prepare_batch(networks, config, state, rollout, hp)
        episode, _ = estimate_episodes(rollout, state.life_table, state.episode.length)
        problem = pose(networks, config, state, batch, episode, state.key, hp)
        update = rule.update(problem, rule_state)
        return update.step, iteration.next_sample_size(size_rule, problem, update, state.iteration)

    return run


def main(args: Args) -> None:
    print(common.machine())
    print(f"{args.task} on {args.backend}, paper's settings, medians of {args.repeats} runs in turns\n")
    state, rollout = samples(args)
    updates, iterations = {}, {}
    for name in args.algorithms:
        algorithm, hp = make(args, name)
        # ESPO's buffer has room for 1.1 X: samples for the others are cut to their own.
        cut = jax.tree.map(lambda x, size=algorithm.config.capacity: x[:size], rollout)
        run = jax.jit(update_fn(name, algorithm, hp, state)).lower(cut).compile()
        updates[name] = lambda run=run, cut=cut: run(cut)
        own = dataclasses.replace(jax.jit(algorithm.init)(jax.random.key(0), hp), policy=state.policy)
        own = dataclasses.replace(own, critics=state.critics, normalizer=state.normalizer, env_state=state.env_state)
        own = dataclasses.replace(own, iteration=state.iteration, sample_size=state.sample_size)
        step = jax.jit(algorithm.step).lower(own, hp).compile()
        iterations[name] = lambda step=step, own=own, hp=hp: step(own, hp)
    update, iteration = (common.interleaved_median_seconds(runs, args.repeats) for runs in (updates, iterations))
    first = args.algorithms[0]
    rows = [
        [
            name,
            f"{1e3 * update[name]:.0f}",
            f"{update[name] / update[first]:.2f}",
            f"{1e3 * iteration[name]:.0f}",
            f"{iteration[name] / iteration[first]:.2f}",
        ]
        for name in args.algorithms
    ]
    print(common.table(["algorithm", "update, ms", f"/ {first}", "iteration, ms", f"/ {first}"], rows), flush=True)

    runs = {}
    for rule in ("fixed", *args.sample_sizes):
        # The same buffer for all, so that only the rule differs.
        algorithm, hp = make(args, first, sample_size_rule=rule, zeta_positive=0.0, zeta_negative=0.0)
        cut = jax.tree.map(lambda x, size=algorithm.config.capacity: x[:size], rollout)
        run = jax.jit(update_fn(first, algorithm, hp, state)).lower(cut).compile()
        runs[rule] = lambda run=run, cut=cut: run(cut)
    medians = common.interleaved_median_seconds(runs, args.repeats)
    rows = [[rule, f"{1e3 * t:.0f}", f"{t / medians['fixed']:.2f}"] for rule, t in medians.items()]
    print("\n" + common.table([f"{first}'s update with rule", "ms", "/ fixed"], rows))


if __name__ == "__main__":
    main(tyro.cli(Args))
