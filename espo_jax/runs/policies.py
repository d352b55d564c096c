"""Trained policies are read without pickle; every array is checked against the run's config."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.serialization
import flax.traverse_util
import jax
import numpy as np

from espo_jax import normalize
from espo_jax.algorithms.inference import inference_fn
from espo_jax.config import Config
from espo_jax.networks import Networks, make_networks
from espo_jax.runs import files
from espo_jax.runs.files import DamagedError
from espo_jax.runs.run_config import RunConfig
from espo_jax.runs.run_directory import BEST_POLICY, POLICY


def load_policy(run_dir: str | Path, *, best_safe: bool = False, deterministic: bool = False) -> Callable:
    """Load the policy of a run with its normaliser. The environment and its physics are not needed.

        policy = espo_jax.load_policy("runs/mine", deterministic=True)
        action, extras = policy(observation)  # [..., O] -> [..., A]

    Args:
      run_dir: folder of the run.
      best_safe: whether to load the best checkpoint within the limits instead of the last policy.
      deterministic: whether actions are the policy's mean instead of samples.

    Returns:
      The policy: (obs [..., O], key) -> (action [..., A], {"log_prob": [...]}). It can be jitted and vmapped.

    Raises:
      DamagedError: (a ValueError) a file is missing, damaged, or does not match the config.
    """
    config, networks, params = load(Path(run_dir), best_safe=best_safe)
    return inference_fn(networks, config)(params, deterministic)


def load_params(run_dir: str | Path, *, best_safe: bool = False) -> tuple[Any, Any, Any]:
    """(normalizer, policy, critics) of a run, for the algorithm's make_inference_fn.

    Raises:
      DamagedError: (a ValueError) a file is missing, damaged, or does not match the config.
    """
    return load(Path(run_dir), best_safe=best_safe)[2]


@jax.enable_x64(False)
def load(run_dir: Path, *, best_safe: bool = False) -> tuple[Config, Networks, tuple[Any, Any, Any]]:
    """Config, networks and (normalizer, policy, critics) of a run.

    Raises:
      DamagedError: (a ValueError) a file is missing, damaged, or does not match the config.
    """
    run_config = RunConfig.read(run_dir)
    path = run_dir / (BEST_POLICY if best_safe else POLICY)
    if best_safe and not path.exists():
        raise DamagedError(f"{run_dir} has no {BEST_POLICY}: no checkpoint was within the limits")
    arrays = files.read_arrays(path)
    try:
        config = Config(**run_config.config)
        observation_size = arrays["normalizer/mean"].size
        action_size = arrays["policy/params/log_std"].size
        networks = make_networks(observation_size, action_size, np.size(run_config.hyperparams["cost_limit"]), config)
        expected = _flat(jax.eval_shape(lambda: _parameters(networks, observation_size)))
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise DamagedError(f"{path} and {run_dir / 'config.json'} do not describe a policy: {error}") from None
    for name in sorted({*expected, *arrays}):
        if name not in expected or name not in arrays:
            raise DamagedError(f"{path} {'lacks' if name in expected else 'has an unknown'} array {name}")
        wanted, found = expected[name], arrays[name]
        if (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
            raise DamagedError(
                f"{path}: {name} is {found.dtype}{list(found.shape)}, not {wanted.dtype}{list(wanted.shape)}"
            )
        if not np.isfinite(found).all():
            raise DamagedError(f"{path}: {name} holds nan or infinity")
    tree = flax.traverse_util.unflatten_dict(arrays, sep="/")
    normalizer = flax.serialization.from_state_dict(normalize.init(observation_size), tree["normalizer"])
    return config, networks, jax.tree.map(jax.numpy.asarray, (normalizer, tree["policy"], tree["critics"]))


def _parameters(networks: Networks, observation_size: int) -> dict[str, Any]:
    key = jax.random.key(0)
    return {
        "normalizer": normalize.init(observation_size),
        "policy": networks.unravel_policy(networks.init_policy(key)),
        "critics": jax.vmap(networks.unravel_critic)(networks.init_critics(key)),
    }


def _flat(tree: Any) -> dict[str, Any]:
    return flax.traverse_util.flatten_dict(flax.serialization.to_state_dict(tree), sep="/")
