"""The README's Python examples run, at a smaller size."""

import re
from pathlib import Path

import jax.numpy as jnp
import pytest

from espo_jax.presets import split
from tests.training.probe_envs import TINY, PointEnv

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
SMALLER = (
    ('safety_envs.make("safety_reacher", backend="spring")', "PointEnv()"),
    ("num_timesteps=2_000_000", "num_timesteps=128, num_evals=2, num_eval_envs=2, **TINY"),
    ("Config(num_envs=16, base_sample_size=16_000)", "Config(**CONFIG)"),
    ("range(500)", "range(2)"),
)


def run(block, **names):
    for full, small in SMALLER:
        block = block.replace(full, small)
    scope = {"PointEnv": PointEnv, "TINY": TINY, "CONFIG": split(TINY)[0], **names}
    exec(block, scope)
    return scope


@pytest.fixture(scope="module")
def blocks():
    assert len(BLOCKS) == 3
    for full, _ in SMALLER:
        assert full in README
    return BLOCKS


def test_brax_style_training(blocks, capsys):
    scope = run(blocks[0])
    action, _ = scope["policy"](jnp.zeros(1), None)
    assert action.shape == (1,)
    assert set(scope["metrics"]) >= {
        "eval/episode_reward", "eval/episode_cost", "training/sps", "training/walltime", "training/mode",
        "training/conflict_angle", "training/sample_size",
    }  # fmt: skip
    assert len(capsys.readouterr().out.strip().splitlines()) == 2


def test_a_sweep_in_one_program(blocks):
    scope = run(blocks[1])
    assert scope["metrics"].episode_cost.shape == (5, 3, 1)
    assert scope["step"]._cache_size() == 1


def test_one_piece_on_plain_arrays(blocks):
    scope = run(blocks[2], g_r=jnp.array([1.0, 0.0]), g_c=jnp.array([-1.0, 1.0]))
    assert bool(scope["fight"])
    assert float(scope["next_size"]) == pytest.approx(17_600)
    assert (jnp.stack([scope["g_r"], scope["g_c"]]) @ scope["update"] >= -1e-6).all()
