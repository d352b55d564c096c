"""`--config`: a TOML file of settings, or the config.json of another run."""

import json
import sys

import pytest

from espo_jax.cli import main
from espo_jax.cli.common import BadInputError
from espo_jax.cli.flags import flags_of, given, parse
from espo_jax.cli.settings_file import SettingsFile, expand
from espo_jax.config import Config
from espo_jax.hyperparams import Hyperparams
from espo_jax.runs.options import RunOptions
from tests.tiny_runs import finished

CLASSES = (RunOptions, SettingsFile, Hyperparams, Config)
FLAGS = flags_of(*CLASSES)


def parsed(*argv):
    words = expand(list(argv), FLAGS.__annotations__)
    values = vars(parse(FLAGS, words, "espo train", ""))
    return {name: values[name] for name in given(FLAGS, words, *CLASSES)}


@pytest.fixture
def toml(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(
        'cost-limit = [25, 5.5]\nslack_negative = -inf\nalgorithm = "crpo"\nenv = ["goal=1", "name=\\"a b\\""]\n'
        "[sizes]\npolicy_hidden_sizes = [8]\nnormalize_observations = false\n[output]\nrun_dir = 'runs/a b'\n"
    )
    return str(path)


def test_the_entries_of_a_file_are_flags(toml):
    assert parsed("--config", toml) == {
        "cost_limit": (25.0, 5.5),
        "slack_negative": (float("-inf"),),
        "algorithm": "crpo",
        "env": ("goal=1", 'name="a b"'),
        "policy_hidden_sizes": (8,),
        "normalize_observations": False,
        "run_dir": "runs/a b",
    }


def test_flags_stand_above_the_file(toml):
    found = parsed("--algorithm=espo", f"--config={toml}", "--cost-limit", "3")
    assert (found["algorithm"], found["cost_limit"]) == ("espo", (3.0,))


def test_the_settings_of_another_run_are_taken(tmp_path):
    path = finished() / "config.json"
    found = parsed("--config", str(path), "--seed", "7")
    config = json.loads(path.read_text())
    assert found["seed"] == 7
    assert found["task"] == "point"
    assert found["base_sample_size"] == config["config"]["base_sample_size"]
    assert "run_dir" not in found


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.toml", "cost_limt = 3", "has cost_limt, which is no setting of this command"),
        ("a.toml", "cost_limit = ", r"config .*a\.toml cannot be read: "),
        ("a.json", "{}", r"config .*a\.json cannot be read: .* has no config that is an object"),
        ("a.json", None, "cannot be read: "),
        ("a.toml", "cost_limit = 'much'", "cost-limit"),
        ("a.toml", "cost_limit = nan", "has cost_limit = nan: it must be a number, a text or a list of them"),
        ("a.toml", "cost_limit = []", r"has cost_limit = \[\]: it must be a number"),
        ("a.toml", "num_envs = true", "has num_envs = True: it must not be true or false"),
        ("a.toml", "normalize_observations = 'yes'", "has normalize_observations = 'yes': it must be true or false"),
        ("a.toml", "seed = 1\n[a]\nseed = 2", "it has seed twice"),
        ("a.toml", "config = 'b.toml'", "has config, which is no setting"),
        ("a.toml", "policy_hidden_sizes = [8, '--task', 'evil:make']", "it must be a number, a text or a list"),
    ],
)
@pytest.mark.usefixtures("nothing_allowed")
def test_a_file_that_is_not_usable_is_one_line(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(BadInputError, match=message):
        parsed("--config", str(tmp_path / name))


def test_a_table_of_options_and_the_second_name_of_a_flag_are_entries(tmp_path):
    (tmp_path / "a.toml").write_text("sample-size = 'fixed'\n[env]\ngoal_velocity = 1.5\nname = 'b'\n")
    found = parsed("--config", str(tmp_path / "a.toml"))
    assert found == {"sample_size_rule": "fixed", "env": ("goal_velocity=1.5", 'name="b"')}
    assert parsed("--config", str(tmp_path / "a.toml"), "--env", "goal_velocity=2")["env"] == ("goal_velocity=2",)


@pytest.mark.parametrize(
    ("command", "entries"),
    [
        ("train", "task = 'evil:make'"),
        ("train", "task = ['evil:make']"),
        ("train", "run_dir = ['x', '--task=evil:make']"),
        ("train", "algorithm = 'evil:RULE'"),
        ("train", "sample_size_rule = 'evil:rule'"),
        ("compare", "algorithms = 'espo,evil:RULE'"),
        ("sweep", "grid = ['algorithm=espo,evil:RULE']"),
        ("tune", "choice = ['algorithm=espo,evil:RULE']"),
    ],
)
@pytest.mark.usefixtures("nothing_allowed")
def test_code_that_a_file_names_is_not_imported(tmp_path, monkeypatch, capsys, command, entries):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("open('ran', 'w')")
    (tmp_path / "a.toml").write_text(entries)
    assert main([command, "--config", "a.toml", "--backend", "spring"]) == 2
    assert not (tmp_path / "ran").exists()
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "evil" in error
