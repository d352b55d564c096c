"""The flags: every declared setting has one, and an error is one line."""

import numpy as np
import pytest

from espo_jax import cli
from espo_jax.cli.flags import flags_of, parse
from espo_jax.config import Config
from espo_jax.hyperparams import Hyperparams
from espo_jax.runs import run
from espo_jax.runs.options import RunOptions
from espo_jax.settings import settings_of


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--task chess", "unknown task 'chess'; known tasks: safety_ant"),
        ("--task=chess --preset none", "unknown task 'chess'; known tasks: safety_ant"),
        ("--backend magic", "unknown backend 'magic'; known backends: generalized, spring"),
        (
            "--task safety_swimmer_velocity --backend spring",
            "safety_swimmer_velocity cannot run on backend 'spring': it has no fluid forces; use one of mjx, warp",
        ),
        ("--reward shaped", "unknown reward 'shaped'; known rewards: task, step"),
        ("--algorithm magic", "algorithm is 'magic': it must be one of espo, pcrpo"),
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
        ("--devices 99", "devices is 99: this machine has"),
        ("--devices 0", "devices is 0: it must be an integer in [1, 2^31)"),
        ("--seed -1", "seed is -1: it must be an integer in [0, 2^31)"),
        ("--num-iterations 0", "num_iterations is 0: it must"),
        ("--num-timesteps 0", "num_timesteps is 0: it must be an integer in [1, 2^63)"),
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


def test_every_setting_is_a_flag_explained_in_words(capsys):
    for algorithm in ("espo", "crpo", "cup"):  # each leaves out what it does not use
        with pytest.raises(SystemExit) as stopped:
            cli.main(["train", "--algorithm", algorithm, "--help"])
        assert stopped.value.code == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for name in (name for cls in (RunOptions, Hyperparams, Config) for name in settings_of(cls)):
        assert f"--{name.replace('_', '-')} " in text or f"--{name.replace('_', '-')}, " in text
    assert "--zeta-negative FLOAT relative change of the sample size in every other case" in text
    assert "zeta- in the paper; in (-1, 0]" in text
    assert (
        "--cost-limit [FLOAT [FLOAT ...]] limit on the undiscounted cost of an episode (b in the paper; in [0, inf); "
        "one for each of the K constraints, or one for all) (default: 40.0)"
    ) in text
    assert "(default: zeta-positive)" in text
    assert "(default: -inf)" in text, "the defaults shown are the preset's"


def test_flags_take_negative_and_infinite_numbers():
    flags = flags_of(RunOptions, Hyperparams, Config, defaults={"cost_limit": 1.0})
    argv = "--zeta-negative -0.3 --slack-negative=-inf --slack-positive inf 2 --policy-hidden-sizes 3 4 --cost_limit 9"
    parsed = parse(flags, argv.split(), "espo train", "")
    assert parsed.zeta_negative == -0.3
    assert parsed.slack_negative == (-np.inf,)
    assert parsed.slack_positive == (np.inf, 2.0)
    assert parsed.policy_hidden_sizes == (3, 4)
    assert parsed.cost_limit == (9.0,)
    assert parsed.max_zeta_positive is None
