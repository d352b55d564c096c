"""The paper's SafetyReacher setting (Tables 1 and 5, Figure 2) and the readings of the paper it can be held against.

    python experiments/reacher.py run espo            # 500 iterations, seeds 0, 1, 2 vmapped in one program
    python experiments/reacher.py run zeta0
    python experiments/reacher.py table               # table and picture of everything run so far

Each variant leaves docs/results/reacher/<variant>.npz: the metrics of every iteration and seed, and wall times.
"""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import matplotlib
import numpy as np
import safety_envs
import tyro
from matplotlib.figure import Figure

import espo_jax
from espo_jax import modes
from espo_jax.algorithms.metrics import fetch
from espo_jax.presets import preset, resolve

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "reacher"

# The omnisafe setting's critics (Table 7).
_ADAM = {"critic_optimizer": "adam", "critic_passes": 10, "critic_minibatch_size": 128, "critic_learning_rate": 1e-3}

BASE_SAMPLE_SIZE = preset("paper", "safety_reacher")["base_sample_size"]

VARIANTS: dict[str, dict[str, Any]] = {
    "espo": {},
    "zeta0": {"zeta_positive": 0.0, "zeta_negative": 0.0},
    "euclidean": {"conflict_metric": "euclidean"},
    "fisher": {"conflict_metric": "fisher"},
    "no_warmup": {"warmup_iterations": 0},
    "no_standardization": {"standardize_advantages": False},
    "adam_critics": _ADAM,
    "all_samples_fisher": {"fisher_stride": 1},
    "whole_episodes": {"num_envs": 4, "reset_each_iteration": True},
}


@dataclass(frozen=True)
class Run:
    """Train one variant, its seeds vmapped in one program.

    Attributes:
      variant: one of VARIANTS.
      seeds: random seeds.
      num_iterations: iterations of every seed.
      backend: physics pipeline.
    """

    variant: tyro.conf.Positional[str]
    seeds: tuple[int, ...] = (0, 1, 2)
    num_iterations: int = 500
    backend: str = "spring"


@dataclass(frozen=True)
class Table:
    """Print the table of every variant run so far, and draw the curves of espo and zeta0."""


def make(variant: str, backend: str = "spring", **changes: Any) -> tuple:
    """Algorithm and hyperparameters of a variant."""
    env = safety_envs.make("safety_reacher", backend=backend)
    settings = {**preset("paper", "safety_reacher"), **VARIANTS[variant], **changes}
    config, hyperparams = resolve(settings, env)
    return espo_jax.espo.make(env, config), espo_jax.Hyperparams.create(**hyperparams, config=config)


def train(args: Run) -> None:
    algorithm, hyperparams = make(args.variant, args.backend, num_iterations=args.num_iterations)
    keys = jax.vmap(jax.random.key)(np.array(args.seeds))
    state = jax.jit(jax.vmap(algorithm.init, in_axes=(0, None)))(keys, hyperparams)
    begin = time.perf_counter()
    step = jax.jit(jax.vmap(algorithm.step, in_axes=(0, None))).lower(state, hyperparams).compile()
    print(f"{args.variant}: compiled in {time.perf_counter() - begin:.0f} s", flush=True)
    records, seconds = [], []
    for iteration in range(args.num_iterations):
        begin = time.perf_counter()
        state, metrics = jax.block_until_ready(step(state, hyperparams))
        seconds.append(time.perf_counter() - begin)
        records.append(fetch(metrics))
        if iteration % 50 == 0 or iteration == args.num_iterations - 1:
            print(
                iteration,
                *(f"{k} {getattr(records[-1], k)}" for k in ("env_steps", "episode_cost", "mode")),
                flush=True,
            )
    stacked = {name: np.stack([getattr(r, name) for r in records]) for name in records[0]._fields}
    RESULTS.mkdir(parents=True, exist_ok=True)
    about = {"seeds": args.seeds, "backend": args.backend, "jax": jax.__version__, "device": str(jax.devices()[0])}
    suffix = "" if args.backend == "spring" else f"_{args.backend}"
    path = RESULTS / f"{args.variant}{suffix}.npz"
    np.savez_compressed(path, about=json.dumps(about), seconds=np.array(seconds), **stacked)


def summarize(path: Path) -> list[str]:
    """One row of the table: means over seeds with standard errors; final = mean of the last 20 iterations."""
    data = np.load(path)
    num_seeds = data["env_steps"].shape[1]

    def mean(x: np.ndarray, digits: int = 1) -> str:
        error = f" ± {np.std(x, ddof=1) / math.sqrt(num_seeds):.{digits}f}" if num_seeds > 1 else ""
        return f"{np.mean(x):.{digits}f}{error}"

    final_cost = data["episode_cost"][-20:, :, 0].mean(axis=0)
    counts = data["mode_counts"][-1] / data["mode_counts"][-1].sum(axis=-1, keepdims=True)
    in_band = np.isin(data["mode"], (modes.ALIGNED, modes.CONFLICT))
    conflict = (data["mode"] == modes.CONFLICT).sum() / max(1, in_band.sum())
    return [
        path.stem,
        str(num_seeds),
        str(len(data["seconds"])),
        mean(data["env_steps"][-1] / 1e6, 2),
        f"{100 * np.mean(data['env_steps'][-1]) / (BASE_SAMPLE_SIZE * len(data['seconds'])):.0f} %",
        mean(data["episode_reward"][-20:].mean(axis=0)),
        mean(final_cost),
        f"{final_cost.max():.1f}",
        *(f"{100 * share:.0f} %" for share in counts.mean(axis=0)),
        f"{100 * conflict:.0f} %",
        f"{data['seconds'].sum():.0f}",
    ]


def table(_: Table) -> None:
    head = [
        "variant",
        "seeds",
        "iterations",
        "samples (M)",
        "of fixed X",
        "reward",
        "cost",
        "worst seed's cost",
        *(f"{name} mode" for name in modes.MODE_NAMES),
    ]
    head += ["conflicts in the band", "seconds"]
    paths = sorted(RESULTS.glob("*.npz"), key=lambda p: list(VARIANTS).index(p.stem) if p.stem in VARIANTS else 99)
    rows = [head, ["---"] * len(head), *map(summarize, paths)]
    text = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    (RESULTS / "table.md").write_text(text + "\n")
    print(text)
    draw([p for p in paths if p.stem in ("espo", "zeta0")])


def draw(paths: list[Path]) -> None:
    """Reward, cost and samples against iterations, mean and range over seeds."""
    figure = Figure(figsize=(9, 9), layout="constrained")
    panels = (
        ("episode_reward", "reward of an episode"),
        ("episode_cost", "cost of an episode"),
        ("env_steps", "samples"),
    )
    axes = figure.subplots(len(panels), 1, sharex=True)
    colours = matplotlib.colormaps["tab10"]
    labels = {"espo": "ESPO (ζ⁺ 0.1, ζ⁻ -0.3)", "zeta0": "fixed sample size (ζ = 0)"}
    for index, path in enumerate(paths):
        data = np.load(path)
        for axis, (name, title) in zip(axes, panels, strict=True):
            values = data[name].reshape(*data["env_steps"].shape)
            iterations = np.arange(1, len(values) + 1)
            axis.plot(iterations, values.mean(axis=1), color=colours(index), label=labels[path.stem])
            axis.fill_between(iterations, values.min(axis=1), values.max(axis=1), color=colours(index), alpha=0.2, lw=0)
            axis.set_ylabel(title)
    axes[1].axhline(40, color="black", ls="--", lw=1, label="limit 40")
    axes[1].set_yscale("log")
    axes[1].legend()
    axes[0].legend()
    axes[0].set_title("SafetyReacher (spring), paper's settings: mean and range over seeds")
    axes[-1].set_xlabel("iteration")
    figure.savefig(RESULTS / "curves.png", dpi=110)


def main() -> None:
    args = tyro.cli(Annotated[Run, tyro.conf.subcommand("run")] | Annotated[Table, tyro.conf.subcommand("table")])
    train(args) if isinstance(args, Run) else table(args)


if __name__ == "__main__":
    main()
