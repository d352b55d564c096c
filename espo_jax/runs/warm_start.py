"""A training that begins with the policy, the critics and the normaliser of another run."""

from pathlib import Path
from typing import Any

import jax
from jax.flatten_util import ravel_pytree
from safety_envs.base import strongly_typed

from espo_jax import algorithms
from espo_jax.algorithms.iteration import Algorithm
from espo_jax.algorithms.types import TrainState
from espo_jax.config import Config
from espo_jax.hyperparams import Hyperparams
from espo_jax.runs import policies
from espo_jax.runs.files import DamagedError
from espo_jax.runs.options import RunOptions

_OF_NETWORKS = ("policy_hidden_sizes", "critic_hidden_sizes", "activation")


def make(options: RunOptions, env: Any, config: Config) -> Algorithm:
    """The algorithm of a run; its first state is that of `init_from`, if there is one.

    Raises:
      ValueError: the other run is damaged, or its networks do not fit; or as for `algorithms.make`.
    """
    algorithm = algorithms.make(options.algorithm, env, config)
    return algorithm if options.init_from is None else warm_started(algorithm, Path(options.init_from))


def warm_started(algorithm: Algorithm, run_dir: Path) -> Algorithm:
    """The algorithm with another first state: policy, critics and normaliser are those of a run.

    What an optimiser, a multiplier or the sample size has learnt in that run is left behind.

    Args:
      algorithm: the algorithm; its networks must have the sizes of the run's.
      run_dir: folder of the run.

    Raises:
      ValueError: the run is damaged, or its networks do not fit; the message names the setting or the size.
    """
    try:
        config, _, (normalizer, policy, critics) = policies.load(run_dir)
    except DamagedError as error:
        raise DamagedError(f"init_from is {run_dir}, whose policy this run begins with: {error}") from None
    for name in _OF_NETWORKS:
        of_run, wanted = getattr(config, name), getattr(algorithm.config, name)
        if of_run != wanted:
            raise ValueError(f"init_from is {run_dir}, whose {name} is {of_run}: here it is {wanted}; give the same")
    flat = ravel_pytree(policy)[0]
    of_critics = jax.vmap(lambda variables: ravel_pytree(variables)[0])(critics)
    sizes = {
        "observations": (normalizer.mean.size, algorithm.env.observation_size),
        "actions": (policy["params"]["log_std"].size, algorithm.env.action_size),
        "constraints": (len(of_critics) - 1, algorithm.networks.num_constraints),
    }
    for name, (of_run, wanted) in sizes.items():
        if of_run != wanted:
            raise ValueError(f"init_from is {run_dir}, which has {of_run} {name}: the environment has {wanted}")

    def init(key: jax.Array, hyperparams: Hyperparams) -> TrainState:
        state: Any = algorithm.init(key, hyperparams)
        return strongly_typed(state.replace(policy=flat, critics=of_critics, normalizer=normalizer))

    return algorithm._replace(init=init)
