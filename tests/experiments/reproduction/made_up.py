"""Made-up cells."""

import numpy as np
from reproduction import cells, variants

from espo_jax.modes import MODE_NAMES


def curve_of(
    cost, *, seed=0, algorithm="espo", variant=None, sizes=None, reward=None, warmup=0, slack=(-5.0, 5.0), **given
):
    """A made-up cell with a limit of 20 and X = 100."""
    count = len(cost)
    sizes = np.full(count, 100) if sizes is None else np.asarray(sizes)
    values = {
        "iteration": np.arange(1, count + 1), "env_steps": np.cumsum(sizes), "sample_size": sizes,
        "mode": np.full(count, MODE_NAMES.index("conflict")), "episode_cost": np.asarray(cost, np.float32),
        "episode_reward": np.arange(count, dtype=np.float32) if reward is None else np.asarray(reward),
        "cost_limit": np.full(count, 20.0), "slack_negative": np.full(count, slack[0]),
        "slack_positive": np.full(count, slack[1]), "steps_per_second": np.full(count, 50.0),
        "conflict_angle": np.full(count, 100.0),
    }  # fmt: skip
    values |= {name: np.asarray(value) for name, value in given.items() if name in values}
    about = {
        "idle": given.get("idle", True), "row": {"status": "finished"},
        "surroundings": {
            "machine": given.get("machine", "Linux x86_64"), "git_revision": given.get("revision", "abc"),
        },
        "config": {
            "config": {"base_sample_size": 100, "sample_size_rule": given.get("rule", "gradient_conflict")},
            "hyperparams": {"warmup_iterations": warmup, "zeta_positive": 0.0, "zeta_negative": -0.5},
        },
    }  # fmt: skip
    return cells.Curve(cells.Cell(variant or variants.Variant("walker2d", algorithm), seed), about, values)
