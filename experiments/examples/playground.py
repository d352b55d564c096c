"""ESPO on an environment of MuJoCo Playground (`pip install playground`): balance a pole, but move the cart little.

    python experiments/examples/playground.py [--num-iterations 100 --cost-limit 20]

The cost of a step is the cart's speed in m/s. Reward and cost are those of whole episodes, acting by the policy's mean.
The physics are Playground's default, MuJoCo Warp, which is fast on NVIDIA GPUs; `--impl jax` is faster on a CPU.
"""

from dataclasses import dataclass

import tyro
from mujoco_playground import registry
from safety_envs import SafetyWrapper
from safety_envs.playground import from_playground

from espo_jax import espo


@dataclass(frozen=True)
class Args:
    """Train on CartpoleBalance.

    Attributes:
      num_iterations: iterations of ESPO.
      base_sample_size: samples of an iteration.
      cost_limit: limit on an episode's summed cost.
      episode_length: time limit, in steps of 0.01 s.
      impl: physics, "warp" (Playground's default) or "jax".
      seed: of all randomness.
    """

    num_iterations: int = 10
    base_sample_size: int = 8_000
    cost_limit: float = 50.0
    episode_length: int = 500
    impl: str = "warp"
    seed: int = 0


def cart_speed(state, action, next_state):
    return abs(next_state.pipeline_state.qvel[0])  # pipeline_state: Playground's state.data


def main(args: Args) -> None:
    env = from_playground(registry.load("CartpoleBalance", config_overrides={"impl": args.impl}))
    espo.train(
        SafetyWrapper(env, cart_speed, cost_limit=args.cost_limit, episode_length=args.episode_length),
        num_iterations=args.num_iterations,
        base_sample_size=args.base_sample_size,
        warmup_iterations=0,
        seed=args.seed,
        num_evals=args.num_iterations + 1,
        progress_fn=lambda steps, m: print(
            f"steps {steps:>7,} | reward {m['eval/episode_reward']:7.1f} | "
            f"cost {m['eval/episode_cost']:7.1f} | limit {args.cost_limit:g}"
        ),
    )


if __name__ == "__main__":
    main(tyro.cli(Args))
