"""`--config`: a TOML file of settings, or the config.json of another run."""

import json

import pytest

from espo_jax import own_code
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
        ("a.toml", "task = 'evil:make'", "code of the module evil: give --allow-code evil"),
    ],
)
def test_a_file_that_is_not_usable_is_one_line(tmp_path, monkeypatch, name, content, message):
    monkeypatch.setattr(own_code, "_allowed", set())
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(BadInputError, match=message):
        parsed("--config", str(tmp_path / name))
