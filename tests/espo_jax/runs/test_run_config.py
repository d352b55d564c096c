"""What config.json says of a run: read whatever version wrote it, and changed only where that changes no number."""

import json

import numpy as np
import pytest

from espo_jax import load_policy
from espo_jax.cli.common import BadInputError
from espo_jax.cli.evaluate import EvalOptions, evaluate
from espo_jax.cli.replay import ReplayOptions, replay
from espo_jax.runs import files
from espo_jax.runs.files import DamagedError
from espo_jax.runs.run_config import RunConfig
from tests.espo_jax.runs.damage import attempt, field, snapshot
from tests.probe_envs import PointEnv
from tests.tiny_runs import DATA, go_on, prepared

pytestmark = pytest.mark.usefixtures("shared_programs")


def test_what_is_written_is_what_is_read(intact):
    written = json.loads((intact / "config.json").read_text())
    read = RunConfig.read(intact)
    assert read.unknown == {}
    for name, value in json.loads(json.dumps(files.strict(read.as_json()))).items():
        assert written[name] == value, name
    assert (read.options.task, read.options.algorithm, read.options.seed) == ("point", "espo", 0)
    assert read.title == "espo on point, seed 0"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cost_limit": (7.0,)}, r"cost_limit is \[7.0\]: the run has 4.0, and goes on with the settings it has"),
        ({"num_envs": 8}, "num_envs is 8: the run has 4"),
        ({"seed": 1}, "seed is 1: the run has 0"),
        ({"algorithm": "crpo"}, "algorithm is crpo: the run has espo"),
        ({"run_dir": "x"}, "run_dir is x: the run has None"),
    ],
)
def test_what_a_run_depends_on_does_not_change(intact, changes, message):
    with pytest.raises(ValueError, match=message):
        RunConfig.read(intact).changed(changes)


def test_what_is_given_as_it_is_passes(intact):
    read = RunConfig.read(intact)
    same = read.changed({"cost_limit": (4.0,), "policy_hidden_sizes": (8,), "task": "point", "discount": 0.995})
    assert same == read
    assert read.changed({"num_timesteps": 9}).options.num_timesteps == 9


def test_an_annealed_run_keeps_its_horizon(tmp_path):
    config = prepared(tmp_path / "run", settings={"anneal_slack_positive": True}).config
    with pytest.raises(ValueError, match="num_iterations is 9: the run anneals over 4 iterations"):
        config.changed({"num_iterations": 9})


def test_a_config_without_later_settings_has_what_was_done_then():
    written = json.loads((DATA / "format_2" / "config.json").read_text())["config"]
    config = RunConfig.read(DATA / "format_2").config
    assert {name: config[name] for name in set(config) - set(written)} == {
        "time_limit": "truncation", "activation": "tanh", "cost_advantages": "standardize", "reset_pool_size": 4,
        "rollout_chunk": 1, "initial_log_std": 0.0,
    }  # fmt: skip
    assert json.loads(json.dumps({name: config[name] for name in written})) == written


@pytest.mark.parametrize("section", ["config", "hyperparams"])
def test_a_setting_of_a_later_version_is_kept_and_only_what_trains_refuses_it(section, victim, monkeypatch, capsys):
    field(section, "momentum_of_a_later_version", value=0.25)(victim)
    assert RunConfig.read(victim).unknown == {"momentum_of_a_later_version": 0.25}
    assert load_policy(victim, deterministic=True)(np.zeros((1, 1)))[0].shape == (1, 1)
    before = snapshot(victim)
    with pytest.raises(BadInputError, match="has the setting momentum_of_a_later_version, which this version does not"):
        attempt(monkeypatch, victim, PointEnv())
    with pytest.raises(BadInputError, match="settings that this version does not know: momentum_of_a_later_version"):
        replay(ReplayOptions(run_dir=str(victim)), PointEnv())
    assert snapshot(victim) == before
    output = victim.parent / "evaluation.json"
    options = EvalOptions(run_dir=str(victim), episodes=2, output=str(output))
    assert evaluate(options, lambda backend: PointEnv()) == 0
    assert snapshot(victim) == before


def test_settings_that_an_earlier_version_did_not_have_have_the_values_of_then(intact, victim):
    for name in ("activation", "time_limit", "cost_advantages", "initial_log_std"):
        field("config", name, value=...)(victim)
    assert RunConfig.read(victim) == RunConfig.read(intact)
    assert load_policy(victim, deterministic=True)(np.zeros((1, 1)))[0].shape == (1, 1)
    result, console = go_on(victim, num_iterations=5)
    assert result["status"] == "finished"
    assert "going on after iteration 4" in console.lines[0]
    written = json.loads((victim / "config.json").read_text())
    assert (written["config"]["activation"], written["config"]["time_limit"]) == ("tanh", "truncation")


@pytest.mark.parametrize(
    ("section", "name"), [("hyperparams", "discount"), ("config", "num_envs"), (None, "checkpoint_minutes")]
)
def test_a_setting_that_every_version_had_must_be_there(victim, section, name):
    """Else a default that changes would change what an earlier run is."""
    field(*filter(None, (section, name)), value=...)(victim)
    with pytest.raises(DamagedError, match=f"has no {name}"):
        RunConfig.read(victim)


@pytest.mark.parametrize(("name", "value"), [("format", 99), ("stop_after_a_later_rule", 3)])
def test_a_run_of_a_later_format_or_with_a_later_option_is_read_but_does_not_go_on(victim, monkeypatch, name, value):
    field(name, value=value)(victim)
    before = snapshot(victim)
    assert RunConfig.read(victim).unknown == {name: value}
    with pytest.raises(BadInputError, match=f"has the setting {name}, which this version does not know"):
        attempt(monkeypatch, victim, PointEnv())
    with pytest.raises(BadInputError, match=f"settings that this version does not know: {name}"):
        replay(ReplayOptions(run_dir=str(victim)), PointEnv())
    assert snapshot(victim) == before


def test_identity_is_what_the_numbers_depend_on(intact):
    assert {"task", "algorithm", "backend", "reward", "seed", "discount", "num_envs"} <= set(
        RunConfig.read(intact).identity()
    )
    assert not {"preset", "log", "run_dir", "num_iterations", "eval_interval"} & set(RunConfig.read(intact).identity())
