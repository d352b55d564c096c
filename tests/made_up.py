"""Records of runs that never ran, for what draws and reads them."""

import dataclasses
import functools
import json

import jax
import numpy as np
import safety_envs

from espo_jax.algorithms.metrics import Metrics
from espo_jax.evaluation import POLICIES, Episodes
from espo_jax.modes import MODE_NAMES
from espo_jax.results.evaluated import EvaluatedRun
from espo_jax.runs.run_config import RunConfig
from tests.tiny_runs import finished, folder_of_this_process, prepared


def made_up(cost, slacks, limit=40.0):
    """Records of a run whose episode costs are given; [T] or [T, K]."""
    cost = np.asarray(cost, float)
    return [
        {
            "iteration": i + 1,
            "env_steps": 100 * (i + 1),
            "sample_size": 100,
            "mode": MODE_NAMES[i % 4],
            "conflict_angle": 60.0 + i % 90,
            "episode_reward": float(i),
            "episode_cost": value,
            "cost_limit": [limit] * len(value) if isinstance(value, list) else limit,
            "slack_negative": slacks[0],
            "slack_positive": slacks[1],
        }
        for i, value in enumerate(cost.tolist())
    ]


def complete():
    """Every field of a line of metrics.jsonl."""
    numbers = dict.fromkeys(Metrics._fields, 0.0)
    return {**numbers, "mode_counts": dict.fromkeys(MODE_NAMES, 0), "steps_per_second": 1.0}


def run_dirs(folder):
    """Run directories of made-up metrics: two settings of zeta, three seeds each, of unequal lengths."""
    paths = []
    for zeta in (-0.3, -0.6):
        for seed in range(3):
            path = folder / f"run{zeta}{seed}"
            run = prepared(path, seed=seed, settings={"zeta_negative": zeta})
            for line in made_up(np.geomspace(900, 30 + seed, 40 + seed), (-9.0, 9.0)):
                run.directory.append({**complete(), **line})
            run.directory.close()
            paths.append(path)
    return paths


def run_of(reward=8.0, cost=2.0, *, algorithm="espo", task="point", seed=0, limit=4.0, records=True, **hyperparams):
    """A run of four episodes for each policy, around a reward and a cost."""
    config = RunConfig.read(finished())
    options = dataclasses.replace(config.options, algorithm=algorithm, task=task, seed=seed)
    config = dataclasses.replace(
        config, options=options, hyperparams={**config.hyperparams, "cost_limit": limit, **hyperparams}
    )
    spread = np.array([-1.0, -0.5, 0.5, 1.0])
    episodes = Episodes(reward + spread, (cost + spread)[:, None], np.full(4, 16))
    lines = made_up(np.linspace(50.0, cost, 6), (-1.0, 1.0), limit=limit) if records else ()
    return EvaluatedRun(f"{algorithm}-{seed}", config, lines, dict.fromkeys(POLICIES, episodes), 16)


@functools.cache
def hopper():
    """Folder of a run of safety_hopper on the engine: its first policy, four made-up iterations and two evaluations."""
    path = folder_of_this_process() / "run"
    run = prepared(path, env=safety_envs.make("safety_hopper", backend="mujoco"))
    state = jax.jit(run.algorithm.init)(jax.random.key(0), run.hyperparams)
    run.directory.save_params(run.algorithm.params(state))
    for line in made_up(np.linspace(90.0, 30.0, 4), (-4.0, 4.0)):
        run.directory.append({**complete(), **line})
        if line["iteration"] % 2 == 0:
            run.directory.append_evaluation({**line, "reward": 1.0, "cost": 35.0})
    run.directory.close()
    content = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**content, "task": "safety_hopper", "reward": "task"}))
    return path
