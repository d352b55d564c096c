"""`espo eval`: what it says is what the episodes were."""

import json

import jax
import numpy as np
import pytest

from espo_jax import commands
from espo_jax.flags import BadInputError
from espo_jax.options import EvalOptions
from espo_jax.results import evaluate
from espo_jax.runs import policies
from espo_jax.runs.run_config import RunConfig
from espo_jax.results.statistics import conditional_value_at_risk

from tests.probe_envs import PointEnv
from tests.espo_jax.runs.test_run_directory import strict_loads
from tests.tiny_runs import copied, train

pytestmark = pytest.mark.usefixtures("quick_module")


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, quick_module):
    path = tmp_path_factory.mktemp("judged") / "run"
    train(path)
    return path


class Windy(PointEnv):
    """Another physics of the same task."""

    backend = "windy"

    def step(self, state, action):
        return super().step(state, action - 0.5)


def make_env(backend):
    return Windy() if backend == "windy" else PointEnv()


@pytest.fixture(scope="module")
def rows(run_dir):
    return evaluate.evaluate(run_dir, make_env, ["none", "windy"], num_episodes=12)


def test_rows_are_the_statistics_of_their_episodes(rows):
    assert [(row["backend"], row["policy"]) for row in rows] == [
        (backend, policy) for backend in ("none", "windy") for policy in ("stochastic", "deterministic")
    ]
    for row in rows:
        cost = row["episode_cost"][:, 0]
        assert cost.shape == (12,)
        assert row["cost"][0]["mean"] == pytest.approx(np.mean(cost))
        assert row["within_limit"] == np.mean(cost <= 4.0)
        assert row["worst_cost"] == [np.max(cost)]
        assert row["cvar_cost"] == [conditional_value_at_risk(cost, 0.1)]
        assert row["limit_met"] == (np.mean(cost) <= 4.0)
        assert row["length"]["mean"] == 16
    assert np.ptp(rows[0]["episode_cost"]) > np.ptp(rows[1]["episode_cost"]), "a stochastic policy varies more"


def test_deterministic_episodes_are_what_the_policy_does(run_dir, rows):
    """One environment stepped by hand, from the same reset."""
    policy = policies.load_policy(run_dir, deterministic=True)
    env = PointEnv()
    reset_key, _ = jax.random.split(jax.random.key(0))
    state = env.reset(jax.random.split(reset_key, 12)[3])
    cost = 0.0
    for _ in range(16):
        action, _ = policy(state.obs)
        state = env.step(state, action)
        cost += float(state.info["cost"])
    assert cost == pytest.approx(rows[1]["episode_cost"][3, 0], rel=1e-4)


def test_the_gap_between_physics_is_that_of_the_same_episodes(rows):
    gaps = evaluate.gaps(rows)
    assert [(gap["policy"], gap["backend"], gap["minus"]) for gap in gaps] == [
        (policy, "windy", "none") for policy in ("stochastic", "deterministic")
    ]
    difference = rows[3]["episode_reward"] - rows[1]["episode_reward"]
    assert gaps[1]["reward"]["mean"] == pytest.approx(np.mean(difference))
    assert gaps[1]["reward"]["standard_error"] == pytest.approx(np.std(difference, ddof=1) / np.sqrt(12))
    assert gaps[1]["cost"][0]["mean"] == pytest.approx(rows[3]["cost"][0]["mean"] - rows[1]["cost"][0]["mean"])
    assert "windy minus none: reward " in evaluate.gap_text(gaps[1])


def test_command_writes_json_and_prints_a_table(run_dir, tmp_path, capsys):
    path = copied(run_dir, tmp_path / "run")
    assert commands.evaluate(EvalOptions(run_dir=str(path), episodes=3, backend="none,windy"), make_env) == 0
    content = strict_loads((path / "eval-last-none-windy.json").read_text())
    assert [len(row["episode_reward"]) for row in content["rows"]] == [3, 3, 3, 3]
    printed = capsys.readouterr().out
    assert "CVaR" in printed
    assert [gap["policy"] for gap in content["gaps"]] == ["stochastic", "deterministic"]
    assert "windy minus none" in printed


def test_nan_from_physics_is_one_error(run_dir, capsys, tmp_path):
    path = copied(run_dir, tmp_path / "run")
    broken = lambda _: PointEnv(nan_reward_after=3)  # noqa: E731
    assert commands.evaluate(EvalOptions(run_dir=str(path), episodes=2), broken) == 3
    assert capsys.readouterr().err == "espo: reward of an episode on none is nan or infinite\n"
    assert not list(path.glob("eval-*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"episodes": 0}, r"episodes is 0: it must lie in \[1, 100000\]"),
        ({"run_dir": "nowhere"}, "config.json cannot be read"),
        ({"best_safe": True}, "has no policy_best_safe.npz: no checkpoint was within the limits"),
        ({"output": "/nowhere/x.json"}, "No such file or directory"),
    ],
)
def test_bad_input(run_dir, tmp_path, options, message):
    path = copied(run_dir, tmp_path / "run")
    (path / "policy_best_safe.npz").unlink(missing_ok=True)
    with pytest.raises(BadInputError, match=message):
        commands.evaluate(EvalOptions(**{"run_dir": str(path), "episodes": 2, **options}), make_env)


def test_unknown_task_or_backend_is_named(run_dir, tmp_path):
    path = copied(run_dir, tmp_path / "run")
    with pytest.raises(BadInputError, match="unknown task 'point'"):
        commands.evaluate(EvalOptions(run_dir=str(path)))
    about = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**about, "task": "safety_reacher"}))
    with pytest.raises(BadInputError, match="unknown backend 'magic'"):
        commands.evaluate(EvalOptions(run_dir=str(path), backend="magic"))
    with pytest.raises(BadInputError, match="observation size is 11 on safety_reacher: the policy has 1"):
        commands.evaluate(EvalOptions(run_dir=str(path), backend="spring"))
    assert RunConfig.read(path).task == "safety_reacher"
