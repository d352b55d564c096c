"""ESPO on one of Brax's own environments: balance a pole, but move the cart little.

    python experiments/examples/brax_env.py [--num-iterations 100 --cost-limit 20]

The cost of a step is the cart's speed in m/s. Reward and cost are those of whole episodes, acting by the policy's mean.
"""

from dataclasses import dataclass

import brax.envs
import tyro
from safety_envs import SafetyWrapper

from espo_jax import espo


@dataclass(frozen=True)
class Args:
    """Train on inverted_pendulum.

    Attributes:
      num_iterations: iterations of ESPO.
      base_sample_size: samples of an iteration.
      cost_limit: limit on an episode's summed cost.
      episode_length: time limit, in steps of 0.02 s.
      backend: physics.
      seed: of all randomness.
    """

    num_iterations: int = 10
    base_sample_size: int = 8_000
    cost_limit: float = 50.0
    episode_length: int = 500
    backend: str = "spring"
    seed: int = 0


def cart_speed(state, action, next_state):
    return abs(next_state.pipeline_state.qd[0])


def main(args: Args) -> None:
    env = brax.envs.get_environment("inverted_pendulum", backend=args.backend)
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
