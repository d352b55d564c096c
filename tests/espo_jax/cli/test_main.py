"""The `espo` command: exit codes, messages, help, and what a run leaves on disk."""

import os

import jax
import numpy as np
import pytest
import safety_envs
from rich.console import Console

from espo_jax import cli, commands
from espo_jax.algorithms import espo
from espo_jax.config import Config
from espo_jax.flags import BadInputError, parse, settings_flags
from espo_jax.options import RunOptions
from espo_jax.runs import policies, run

from tests.probe_envs import TINY, PointEnv
from tests.espo_jax.runs.test_run_directory import strict_loads


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Exit code, printed text and run directory of a run that finished."""
    run_dir = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        printed = []
        patch.setattr(Console, "print", lambda self, *objects, **_: printed.extend(objects))
        settings = {**TINY, "slack_negative": (-np.inf,)}
        code = commands.train(RunOptions(task="point", num_eval_episodes=3, run_dir=str(run_dir)), settings, PointEnv())
    return code, printed, run_dir


def test_finished_run_leaves_everything(finished):
    code, _, run_dir = finished
    assert code == 0
    assert {file.name for file in run_dir.iterdir()} == {
        "checkpoints",
        "config.json",
        "metrics.jsonl",
        "policy.npz",
        "curves.png",
        "result.json",
    }
    lines = [strict_loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [1, 2, 3, 4]
    expected = "env_steps sample_size mode conflict_angle episode_reward episode_cost cost_limit kl steps_per_second"
    assert set(expected.split()) <= set(lines[0])
    assert lines[0]["mode"] == "reward", "the first iteration is the warm-up"
    assert lines[0]["cost_limit"] == 4.0
    assert lines[0]["slack_negative"] == "-inf"
    assert sum(lines[-1]["mode_counts"].values()) == 4
    assert lines[-1]["env_steps"] == sum(line["sample_size"] for line in lines)


def test_config_is_enough_to_run_again(finished):
    config = strict_loads((finished[2] / "config.json").read_text())
    assert config["task"] == "point"
    assert config["algorithm"] == "espo"
    assert (config["backend"], config["reward"], config["preset"]) == (PointEnv().backend, "task", "paper")
    assert config["seed"] == 0
    assert config["config"]["max_zeta_positive"] == config["hyperparams"]["zeta_positive"] == 0.1
    assert config["hyperparams"]["cost_limit"] == 4.0
    assert config["hyperparams"]["slack_negative"] == ["-inf"]
    assert {"jax", "brax", "mujoco", "espo_jax", "python"} <= set(config["versions"])
    assert config["device"]["platform"]
    assert Config(**{**config["config"], "policy_hidden_sizes": (8,), "critic_hidden_sizes": (8,)})


def test_result_says_what_was_saved_and_whether_the_limit_is_met(finished):
    _, printed, run_dir = finished
    result = strict_loads((run_dir / "result.json").read_text())
    assert result["status"] == "finished"
    assert result["fixed_env_steps"] == 4 * 64
    for policy in ("stochastic", "deterministic"):
        assert result["evaluation"][policy]["episodes"] == 3
        assert result["limit_met"][policy] == (result["evaluation"][policy]["cost"] <= 4.0)
    console = Console(width=200, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(run.summary(result, run_dir))
    text = console.export_text()
    for words in ("in training, ", "deterministic, 3 new episodes", "limit", "met", "fixed X: 256", run_dir.name):
        assert words in text
    assert len(printed) >= 2


def test_saved_policy_acts(finished):
    config = Config(**{k: v for k, v in TINY.items() if k in Config.__dataclass_fields__})
    policy = espo.make(PointEnv(), config).make_inference_fn(policies.load_params(finished[2]), deterministic=True)
    assert np.isfinite(policy(np.zeros((5, 1)), jax.random.key(0))[0]).all()


def test_nan_exits_3_with_everything_before_it_on_disk(tmp_path, capsys):
    env = PointEnv(episode_length=40, nan_reward_after=35)
    settings = {**TINY, "zeta_positive": 0.0, "zeta_negative": 0.0}
    assert commands.train(RunOptions(task="point", run_dir=str(tmp_path / "run")), settings, env) == 3
    printed = capsys.readouterr()
    assert "espo: iteration 3: nan or infinity in reward" in printed.err
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2
    assert (tmp_path / "run" / "curves.png").stat().st_size > 20_000
    assert strict_loads((tmp_path / "run" / "result.json").read_text())["status"] == "nonfinite"
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(policies.load_params(tmp_path / "run")))
    assert "iteration 2/4" in printed.out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--task chess", "unknown task 'chess'; known tasks: safety_ant"),
        ("--task=chess --preset none", "unknown task 'chess'; known tasks: safety_ant"),
        ("--backend magic", "unknown backend 'magic'; known backends: generalized, spring"),
        (
            "--task safety_swimmer_velocity --backend spring",
            "safety_swimmer_velocity cannot run on backend 'spring': it has no fluid forces; use one of mjx, mujoco",
        ),
        ("--reward shaped", "unknown reward 'shaped'; known rewards: task, step"),
        ("--algorithm magic", "unknown algorithm 'magic'; known algorithms: espo"),
        ("--preset magic", "unknown preset 'magic'; known presets: paper, none"),
        ("--num-envs 16001", "base_sample_size is 16000: it must be at least num_envs (16001)"),
        ("--action-repeat 3", "action_repeat is 3; it must divide episode_length 1000"),
        ("--zeta-negative -1", "zeta_negative is -1: it must lie in (-1, 0]"),
        ("--zeta-positive -0.1", "zeta_positive is -0.1: it must lie in [0, inf)"),
        ("--zeta-positive 0.3 --max-zeta-positive 0.2", "zeta_positive is 0.3: it must be at most max_zeta_positive"),
        ("--slack-negative 1", "slack_negative is 1: it must lie in [-inf, 0]"),
        ("--cost-limit -4", "cost_limit is -4: it must lie in [0, inf)"),
        ("--cost-limit 4 5", "cost_limit has 2 values: the environment reports 1 costs"),
        ("--discount 1.5", "discount is 1.5: it must lie in [0, 1]"),
        ("--target-kl nan", "target_kl is nan: it must lie in (0, inf)"),
        ("--seed -1", "seed is -1: it must lie in [0, 2^31)"),
        ("--num-iterations 0", "num_iterations is 0: it must"),
        ("--num-timesteps 0", "num_timesteps is 0: it must be a positive integer"),
        ("--run-dir .", "run directory . already exists and is never overwritten; choose another with --run-dir"),
        ("--discount abc", "Error parsing --discount: could not convert string to float: 'abc'"),
        ("--zeta-negativ -1", "Unrecognized options: --zeta-negativ, -1 (did you mean --zeta-negative?)"),
        ("--conflict-metric x", "invalid choice 'x' for argument '--conflict-metric'. Expected one of ('natural',"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(flags, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "start", lambda *_: pytest.fail("started to compile"))
    assert cli.main(["train", *flags.split()]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"espo: error: {message}")
    assert printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [], "nothing may be left behind"


def test_env_without_cost_is_refused(tmp_path):
    with pytest.raises(BadInputError, match=r'PointEnv.reset reports no info\["cost"\]; use SafetyWrapper'):
        commands.train(RunOptions(run_dir=str(tmp_path / "run")), TINY, PointEnv(reports_cost=False))
    assert not (tmp_path / "run").exists()


def test_unknown_command_names_the_known(capsys):
    assert cli.main(["fly"]) == 2
    assert "train" in capsys.readouterr().err


def test_every_setting_is_a_flag_explained_in_words(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["train", "--help"])
    assert stopped.value.code == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--zeta-negative FLOAT zeta- in (-1, 0], relative change of the sample size" in text
    assert (
        "--cost-limit [FLOAT [FLOAT ...]] [K] b, limit on the undiscounted cost of an episode. (default: 40.0)" in text
    )
    assert "(default: zeta-positive)" in text
    assert "(default: -inf)" in text, "the defaults shown are the preset's"


def test_flags_take_negative_and_infinite_numbers():
    flags = settings_flags(RunOptions, {"cost_limit": 1.0})
    argv = "--zeta-negative -0.3 --slack-negative=-inf --slack-positive inf 2 --policy-hidden-sizes 3 4 --cost_limit 9"
    parsed = parse(flags, argv.split(), "espo train", "")
    assert parsed.zeta_negative == -0.3
    assert parsed.slack_negative == (-np.inf,)
    assert parsed.slack_positive == (np.inf, 2.0)
    assert parsed.policy_hidden_sizes == (3, 4)
    assert parsed.cost_limit == (9.0,)
    assert parsed.max_zeta_positive is None


def test_tasks_lists_what_can_be_trained(capsys):
    assert cli.main(["tasks"]) == 0
    text = capsys.readouterr().out
    for name in safety_envs.task_names():
        assert name in text, "names are not cut"
    assert " 376 " in text
    assert "0.1 sum a^2" in text
    assert "the default here is mujoco" in text


def test_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith("espo_jax ")
