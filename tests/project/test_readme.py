"""The Python examples of the README and of docs/ run, at a smaller size."""

import json
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
import safety_envs

from espo_jax.cli import main
from espo_jax.presets import split
from espo_jax.results.export import export
from tests.probe_envs import TINY, PointEnv
from tests.tiny_runs import copied, finished

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS, TASKS_BLOCKS, ALGORITHMS_BLOCKS, RUNS_BLOCKS = (
    re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)
    for page in ("README.md", "docs/tasks.md", "docs/algorithms.md", "docs/runs.md")
)
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
    assert len(BLOCKS) == 5
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
    assert bool(scope["conflicting"])
    assert float(scope["next_size"]) == pytest.approx(17_600)
    assert (jnp.stack([scope["g_r"], scope["g_c"]]) @ scope["update"] >= -1e-6).all()


def test_another_algorithm_on_samples_by_conflict(blocks):
    block = blocks[3].replace("Config(", "Config(**CONFIG, ")
    assert run(block)["algorithm"].config.sample_size_rule == "gradient_conflict"


def test_examples_of_the_algorithms_page():
    assert len(ALGORITHMS_BLOCKS) == 3
    composed = ALGORITHMS_BLOCKS[0]
    assert len(composed.strip().splitlines()) < 40
    for full, small in (("Config()", "Config(**CONFIG)"), ("cost_limit=40.0", "cost_limit=1.0, warmup_iterations=0")):
        assert full in composed
        composed = composed.replace(full, small)
    scope = run(composed)
    assert int(scope["metrics"].sample_size) == 45  # X (1 + zeta-): the cost is above the band
    assert float(scope["metrics"].kl) > 0
    assert float(scope["metrics"].multiplier[0]) > 0

    own_rule = run(ALGORITHMS_BLOCKS[1].replace("num_timesteps=2_000_000", "num_timesteps=128, num_evals=0, **TINY"))
    assert own_rule["metrics"]["training/sample_size"] in range(45, 71)

    around = ALGORITHMS_BLOCKS[2]
    for full, small in (
        ('backend="spring"', 'backend="mujoco"'),  # the engine compiles in a tenth of the time
        ("4_096, 16, 282", "64, 4, 18"),
        ("key(1), 100", "key(1), 3"),
    ):
        assert full in around
        around = around.replace(full, small)
    scope = run(around)
    assert int(scope["size"]) in (45, 70)
    assert scope["iteration"]._cache_size() <= 2  # a reset's first state is weakly typed
    assert jnp.isfinite(scope["params"]).all()
    assert scope["params"].any()


def test_tasks_on_the_engine(blocks, capsys):
    run(blocks[4])
    assert capsys.readouterr().out == "(64, 17) (64,)\n", "what the comment says"


def test_examples_of_the_page_of_runs(tmp_path, monkeypatch):
    assert len(RUNS_BLOCKS) == 2
    copied(finished(), tmp_path / "runs" / "mine")
    export(tmp_path / "runs" / "mine", ["stablehlo"])
    monkeypatch.chdir(tmp_path)
    observation = jnp.zeros((8, 1))
    expected = run(RUNS_BLOCKS[0], observation=observation)["action"]
    assert "(8, 11)" in RUNS_BLOCKS[1]
    action = run(RUNS_BLOCKS[1].replace("(8, 11)", "(8, 1)"))["action"]
    assert jnp.allclose(action, expected, atol=1e-6)


def test_example_of_the_api_page(tmp_path, monkeypatch):
    copied(finished(), tmp_path / "runs" / "mine")
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/api.md").read_text(), flags=re.DOTALL)
    seen = []

    class Env:
        def reset(self, seed):
            return jnp.zeros((4, 1)), {}

        def step(self, action):
            seen.append(action.shape)
            return jnp.zeros((4, 1)), *[jnp.zeros(4)] * 3, {}

    made = 'safety_envs.gymnasium.make_vec("safety_reacher", num_envs=4)'
    assert made in block
    run(block.replace(made, "Env()"), Env=Env)
    assert seen == [(4, 1)] * 100


def test_examples_of_the_tasks_page():
    assert len(TASKS_BLOCKS) == 2
    names = {"jax": jax, "safety_envs": safety_envs, "key": jax.random.key(0)}
    first = run(TASKS_BLOCKS[0], action=jnp.zeros((64, 3)), **names)
    assert first["state"].info["cost"].shape == (64,)
    second = run(TASKS_BLOCKS[1], num_envs=3, **names)
    env = second["env"]
    state = jax.jit(lambda keys: env.step(env.reset(keys), jnp.ones((3, 3))))(jnp.stack([names["key"]] * 3))
    assert len({float(x) for x in state.pipeline_state.qd[:, 1]}) == 3, "each environment has a mass of its own"


@pytest.mark.usefixtures("nothing_allowed")
def test_the_environment_of_the_page_of_environments_trains(tmp_path, monkeypatch):
    """Its model and its module, in a folder of their own, with smaller commands."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    page = (ROOT / "docs/environments.md").read_text()
    model, module, python = (
        re.findall(rf"```{kind}\n(.*?)```", page, flags=re.DOTALL)[place]
        for kind, place in (("xml", 0), ("python", 0), ("python", 1))
    )
    Path("pole.xml").write_text(model)
    Path("my_tasks.py").write_text(module)
    commands = re.search(r"```bash\n(espo train --task my_tasks.*?)```", page, flags=re.DOTALL)[1].splitlines()
    small = "--base-sample-size 100 --num-envs 4 --policy-hidden-sizes 8 --critic-hidden-sizes 8 --num-eval-episodes 2"
    assert main([*commands[0].split()[1:], *small.split(), "--num-iterations", "2"]) == 0
    assert main(["eval", "swing", "--episodes", "2", "--allow-code", "my_tasks"]) == 0
    for full, few in (("num_iterations=60", "num_iterations=2"), ("num_iterations=80", "num_iterations=3")):
        assert full in python
        python = python.replace(full, few)
    sizes = "base_sample_size=100, num_envs=4, policy_hidden_sizes=(8,), critic_hidden_sizes=(8,)"
    run(python.replace("base_sample_size=5000", sizes))
    assert len((tmp_path / "runs/swing/metrics.jsonl").read_text().splitlines()) == 3


def test_notebook_runs(capsys):
    """Its code cells in order, on a small environment."""
    notebook = json.loads((ROOT / "docs/quickstart.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code")
    source = "\n".join(cells)
    for full, small in (
        ("range(60)", "range(3)"),
        ("num_envs=16, base_sample_size=16_000)", "**CONFIG)"),
        ("warmup_iterations=5", "warmup_iterations=1"),
    ):
        assert full in source
        source = source.replace(full, small)
    run(source)
    printed = capsys.readouterr().out
    assert "compiled once: True" in printed
    assert "lowers neither: True True" in printed
    assert "next size: 17600.0" in printed
