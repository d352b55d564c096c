"""`espo eval`: the file, the table, exit codes, and what is refused."""

import json

import pytest

from espo_jax import cli
from espo_jax.cli.common import BadInputError
from espo_jax.cli.evaluate import EvalOptions, evaluate
from espo_jax.runs.run_config import RunConfig
from tests.probe_envs import PointEnv
from tests.tiny_runs import copied, finished, on_physics, strict_loads


@pytest.fixture
def intact():
    return finished()


def test_command_writes_json_and_prints_a_table(intact, tmp_path, capsys):
    path = copied(intact, tmp_path / "run")
    assert evaluate(EvalOptions(run_dir=str(path), episodes=3, backend="none,windy"), on_physics) == 0
    content = strict_loads((path / "eval-last-none-windy.json").read_text())
    assert [len(row["episode_reward"]) for row in content["rows"]] == [3, 3, 3, 3]
    printed = capsys.readouterr().out
    assert "CVaR" in printed
    assert [gap["policy"] for gap in content["gaps"]] == ["stochastic", "deterministic"]
    assert "windy minus none" in printed


def test_a_reference_and_several_runs(intact, tmp_path, capsys, monkeypatch):
    """The same run as its own reference has all of its reward; its file for SafeRLEval stands beside the other."""
    monkeypatch.setenv("COLUMNS", "200")
    paths = [copied(intact, tmp_path / name) for name in ("a", "b", "reference")]
    options = EvalOptions(run_dir=str(paths[0]), others=(str(paths[1]),), episodes=3, reference=str(paths[2]))
    assert evaluate(options, on_physics) == 0
    printed = capsys.readouterr().out
    assert "Safety of training" in printed
    for path in paths[:2]:
        rows = strict_loads((path / "eval-last.json").read_text())["rows"]
        assert {row["normalized_reward"] for row in rows} <= {1.0, None}
        assert (path / "eval-last_summary.csv").read_text().count("\n") == 2
    assert not (paths[2] / "eval-last.json").exists()


def test_a_reference_on_another_task_is_refused(intact, tmp_path):
    path = copied(intact, tmp_path / "other")
    about = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**about, "task": "safety_hopper"}))
    with pytest.raises(BadInputError, match="reference has no run on the task, physics and reward of"):
        evaluate(EvalOptions(run_dir=str(intact), episodes=2, reference=str(path)), on_physics)


def test_one_output_for_several_runs_is_refused(intact):
    with pytest.raises(ValueError, match=r"output is 'x\.json': it is for one run"):
        EvalOptions(run_dir=str(intact), others=(str(intact),), output="x.json")


def test_nan_from_physics_is_one_error(intact, capsys, tmp_path):
    path = copied(intact, tmp_path / "run")
    broken = lambda _: PointEnv(nan_reward_after=3)  # noqa: E731
    assert evaluate(EvalOptions(run_dir=str(path), episodes=2), broken) == 3
    assert capsys.readouterr().err == "espo: reward of an episode on none is nan or infinite\n"
    assert not list(path.glob("eval-*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"run_dir": "nowhere"}, "config.json cannot be read"),
        ({"best_safe": True}, "has no policy_best_safe.npz: no checkpoint was within the limits"),
    ],
)
def test_bad_input(intact, tmp_path, options, message):
    path = copied(intact, tmp_path / "run")
    (path / "policy_best_safe.npz").unlink(missing_ok=True)
    with pytest.raises(BadInputError, match=message):
        evaluate(EvalOptions(**{"run_dir": str(path), "episodes": 2, **options}), on_physics)


def test_a_run_that_cannot_be_written_to_is_evaluated(intact, tmp_path, capsys):
    """A folder has the name of the file; root may write to what is read-only."""
    path = copied(intact, tmp_path / "run")
    (path / "eval-last.json").mkdir()
    assert evaluate(EvalOptions(run_dir=str(path), episodes=2), on_physics) == 0
    printed = capsys.readouterr()
    assert "CVaR" in printed.out
    assert "written to" not in printed.out
    (line,) = printed.err.splitlines()
    assert line == f"espo: warning: cannot write {path}/eval-last.json (Is a directory); --output names another file"


def test_an_output_that_cannot_be_written_is_an_error_after_the_table(intact, capsys):
    with pytest.raises(BadInputError, match=r"cannot write /nowhere/x\.json \(No such file or directory\)"):
        evaluate(EvalOptions(run_dir=str(intact), episodes=2, output="/nowhere/x.json"), on_physics)
    assert "CVaR" in capsys.readouterr().out


def test_no_episodes_are_refused(intact, capsys):
    assert cli.main(["eval", str(intact), "--episodes", "0"]) == 2
    assert capsys.readouterr().err == "espo: error: episodes is 0: it must be an integer in [1, 100000]\n"


def test_unknown_task_or_backend_is_named(intact, tmp_path):
    path = copied(intact, tmp_path / "run")
    with pytest.raises(BadInputError, match="unknown task 'point'"):
        evaluate(EvalOptions(run_dir=str(path)))
    about = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**about, "task": "safety_reacher"}))
    with pytest.raises(BadInputError, match="unknown backend 'magic'"):
        evaluate(EvalOptions(run_dir=str(path), backend="magic"))
    with pytest.raises(BadInputError, match="observation size is 11 on safety_reacher: the policy has 1"):
        evaluate(EvalOptions(run_dir=str(path), backend="spring"))
    assert RunConfig.read(path).options.task == "safety_reacher"
