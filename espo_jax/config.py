"""`Config`: the static settings, which the shapes of the compiled program depend on."""

import dataclasses
import math

from espo_jax import conflict, critic, gae, multiplier, policy, sample_size
from espo_jax.settings import check_settings, documented, setting

CPU_BLOCK_SIZE = 1600  # samples; their activations fit into the cache
CPU_CRITIC_MINIBATCH_SIZE, CPU_POLICY_MINIBATCH_SIZE = 128, 64  # samples


@documented
@dataclasses.dataclass(frozen=True)
class Config:
    """Static settings: the shapes of the compiled program depend on them. They are checked when a Config is made.

    Sizes that are None are chosen for the kind of device when an algorithm is made: `Algorithm.config` has them.

    Raises:
      ValueError: naming the field, its value and what is allowed.
    """

    num_envs: int = setting(16, "number of environments that are stepped in parallel", symbol="N")
    base_sample_size: int = setting(
        16_000, "number of samples of an iteration before manipulation, in environment steps", symbol="X"
    )
    max_zeta_positive: float = setting(
        0.2,
        "largest zeta_positive that the rollout buffer has room for; its capacity is X(1 + max_zeta_positive)",
        range="[0, inf)",
        none="zeta_positive",
    )
    block_size: int | None = setting(
        None,
        "number of samples that each pass over the rollout handles at once; the work is proportional to the number of "
        "blocks in use",
        none="1,600 on a CPU, which its cache holds; on an accelerator as many as take 1 GiB",
    )
    rollout_chunk: int | None = setting(
        None,
        "number of time steps between two looks at whether the rollout has all its samples; blocks consist of whole "
        "chunks, and the time steps of the last chunk that are too many are undone",
        none="1 on a CPU; on an accelerator a 32nd of the time steps of base_sample_size, in [1, 16]",
        earlier=1,
    )
    episode_length: int | None = setting(
        None, "time limit of an episode in control steps", none="the environment's own"
    )
    action_repeat: int = setting(
        1, "number of control steps for which an action is held; their rewards and costs are summed"
    )
    reset_pool_size: int = setting(
        4,
        "number of resets that are drawn ahead for each environment, all together when one environment needs more; "
        "each takes the memory of a state of the environment, and with fewer they are drawn more often",
        earlier=4,
    )
    time_limit: str = setting(
        "truncation",
        "how the advantages treat the time limit of an episode: a truncation bootstraps from the last state, which is "
        "statistically right; a termination does not bootstrap, which is the protocol of the paper's code family",
        choices=gae.TIME_LIMITS,
        earlier="truncation",
    )
    reset_each_iteration: bool = setting(
        False, "whether every iteration starts new episodes; otherwise episodes carry on across iterations"
    )
    sample_size_rule: str | None = setting(
        None,
        "rule for the number of samples of the next iteration",
        choices=sample_size.RULES,
        own=True,
        none="the algorithm's own",
        alias="--sample-size",
    )
    conflict_metric: str = setting(
        "natural", "inner product in which gradients conflict and are combined", choices=conflict.METRICS
    )
    conflict_resolution: str = setting(
        "projection", "how the balance mode combines gradients that conflict", choices=conflict.RESOLUTIONS
    )
    standardize_advantages: bool = setting(
        True, "whether the advantages of the reward and of each cost get mean 0 and standard deviation 1"
    )
    cost_advantages: str = setting(
        "standardize",
        "how the advantages of the costs are scaled; `center` gives them mean 0 and keeps their unit, as Omnisafe "
        "does, and the Lagrange multipliers then share this unit; it has no effect without standardize_advantages",
        choices=gae.ADVANTAGE_SCALINGS,
        earlier="standardize",
    )
    policy_hidden_sizes: tuple[int, ...] = setting((64, 64), "widths of the hidden layers of the policy")
    critic_hidden_sizes: tuple[int, ...] = setting((64, 64), "widths of the hidden layers of each critic")
    activation: str = setting(
        "tanh", "activation function of the hidden layers of all networks", choices=policy.ACTIVATIONS, earlier="tanh"
    )
    initial_log_std: float = setting(
        0.0,
        "natural logarithm of the standard deviation of the actions of the first policy; a policy that is taken from "
        "another run has its own",
        range="[-20, 20]",
        earlier=0.0,
    )
    normalize_observations: bool = setting(
        True, "whether observations are whitened by their running mean and standard deviation"
    )
    observation_clip: float = setting(5.0, "bound on a whitened observation, in standard deviations", range="(0, inf]")
    cg_iterations: int = setting(10, "number of conjugate-gradient iterations for each natural direction")
    fisher_stride: int = setting(
        4, "the Fisher products use the samples of every this many time steps; 1 uses all samples"
    )
    line_search_steps: int = setting(
        10, "number of step sizes that the line search tries; each is half of the one before"
    )
    critic_optimizer: str = setting(
        "lbfgs", "how the critics are fitted: lbfgs uses all samples at once, adam uses minibatches",
        choices=critic.OPTIMIZERS,
    )  # fmt: skip
    lbfgs_iterations: int = setting(25, "number of L-BFGS iterations for each critic in an iteration")
    critic_passes: int = setting(10, "number of passes over the samples when adam fits the critics")
    critic_minibatch_size: int | None = setting(
        None,
        "number of samples of a minibatch when adam fits the critics",
        none="128 on a CPU; on an accelerator a 32nd of base_sample_size",
    )
    critic_max_gradient_norm: float = setting(
        40.0, "norm to which the gradients of the critics are clipped when adam fits them", range="(0, inf]"
    )
    policy_passes: int = setting(
        40, "largest number of passes over the samples of a first-order policy update (cup, ppo_lagrangian)"
    )
    policy_minibatch_size: int | None = setting(
        None,
        "number of samples of a minibatch of a first-order policy update",
        none="64 on a CPU; on an accelerator a 32nd of base_sample_size",
    )
    policy_max_gradient_norm: float = setting(
        40.0, "norm to which the gradients of a first-order policy update are clipped", range="(0, inf]"
    )
    multiplier_optimizer: str = setting(
        "sgd",
        "how the Lagrange multipliers step: sgd steps by the learning rate times the violation, adam as in Omnisafe",
        choices=multiplier.OPTIMIZERS,
    )

    def __post_init__(self) -> None:
        """Check every field, and the fields against each other."""
        check_settings(self)
        for name in ("policy_hidden_sizes", "critic_hidden_sizes"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.base_sample_size * (1 + self.max_zeta_positive) >= 2**31:
            raise ValueError(
                f"max_zeta_positive is {self.max_zeta_positive:g}: base_sample_size ({self.base_sample_size}) times "
                "1 + max_zeta_positive must be less than 2^31"
            )
        if self.base_sample_size < self.num_envs:
            raise ValueError(
                f"base_sample_size is {self.base_sample_size}: it must be at least num_envs ({self.num_envs}), "
                "one step of every environment"
            )
        if self.steps_per_chunk > self.base_sample_size // self.num_envs:
            raise ValueError(
                f"rollout_chunk is {self.rollout_chunk}: it must be at most base_sample_size // num_envs "
                f"({self.base_sample_size // self.num_envs} time steps)"
            )

    @property
    def steps_per_block(self) -> int:
        """Number of time steps of a block: whole chunks, at least one."""
        samples = self.num_envs * self.steps_per_chunk
        most = math.ceil(self.max_sample_size / samples)
        return max(1, min((self.block_size or CPU_BLOCK_SIZE) // samples, most)) * self.steps_per_chunk

    @property
    def critic_samples_per_minibatch(self) -> int:
        """Number of samples of a minibatch of the critics."""
        return self.critic_minibatch_size or CPU_CRITIC_MINIBATCH_SIZE

    @property
    def policy_samples_per_minibatch(self) -> int:
        """Number of samples of a minibatch of a first-order policy update."""
        return self.policy_minibatch_size or CPU_POLICY_MINIBATCH_SIZE

    @property
    def max_sample_size(self) -> int:
        """Largest number of samples of an iteration: X(1 + max_zeta_positive), or X for the rule "fixed"."""
        growth = 0.0 if self.sample_size_rule == "fixed" else self.max_zeta_positive
        return round(self.base_sample_size * (1 + growth))

    @property
    def capacity(self) -> int:
        """Number of time steps of the rollout buffer: room for max_sample_size, in whole blocks."""
        return math.ceil(self.max_sample_size / (self.num_envs * self.steps_per_block)) * self.steps_per_block

    @property
    def steps_per_chunk(self) -> int:
        """Number of time steps between two looks at whether the rollout has all its samples."""
        return self.rollout_chunk or 1
