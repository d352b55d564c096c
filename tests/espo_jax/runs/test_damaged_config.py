"""A config.json that is damaged or made to harm: one clear error, nothing lost, nothing run."""

import pytest

from espo_jax.cli.common import BadInputError
from tests.espo_jax.runs.damage import attempt, cut, field, snapshot, text
from tests.probe_envs import PointEnv


def replaced_by_folder(path):
    (path / "config.json").unlink()
    (path / "config.json").mkdir()


CONFIG = {
    "missing": (lambda path: (path / "config.json").unlink(), "config.json cannot be read (No such file"),
    "a folder": (replaced_by_folder, "config.json is not a regular file"),
    "empty": (text("config.json", ""), "config.json is damaged: it is not valid JSON"),
    "truncated": (cut("config.json"), "config.json is damaged: it is not valid JSON"),
    "a list": (text("config.json", "[1]"), "config.json is damaged: it holds no JSON object"),
    "not text": (lambda path: (path / "config.json").write_bytes(b"\xff\xfe{}"), "config.json is damaged: it is not"),
    "nan": (text("config.json", '{"seed": NaN}'), "NaN is not JSON"),
    "nested": (text("config.json", "[" * 100_000), "config.json is damaged: it is not valid JSON"),
    "too long": (text("config.json", " " * (2**24 + 1)), "config.json is damaged: it has 16777217 bytes"),
    "no seed": (field("seed", value=...), "config.json has no seed"),
    "seed of text": (field("seed", value="0"), "seed is '0': it must be an integer in [0, 2^31)"),
    "seed true": (field("seed", value=True), "seed is True: it must be an integer in [0, 2^31)"),
    "seed negative": (field("seed", value=-1), "seed is -1: it must be an integer in [0, 2^31)"),
    "task of numbers": (field("task", value=3), "task is 3: it must be text"),
    "episodes": (field("num_eval_episodes", value=-3), "num_eval_episodes is -3: it must be an integer in [0, 100000]"),
    "episodes by the terabyte": (
        field("num_eval_episodes", value=10**12),
        "num_eval_episodes is 1000000000000: it must",
    ),
    "minutes": (field("checkpoint_minutes", value=0), "checkpoint_minutes is 0: it must lie in (0, inf]"),
    "config a list": (field("config", value=[]), "has no config that is an object"),
    "config lacks": (field("config", "num_envs", value=...), "has no num_envs"),
    "config has more": (field("config", "zzz", value=1), "has the setting zzz, which this version does not know"),
    "envs of text": (field("config", "num_envs", value="four"), "num_envs is 'four': it must be an integer in [1,"),
    "no envs": (field("config", "num_envs", value=0), "num_envs is 0: it must be an integer in [1, 2^31)"),
    "samples": (field("config", "base_sample_size", value=2**40), "base_sample_size is 1099511627776: it must be"),
    "other envs": (field("config", "num_envs", value=7), "num_envs is 7: checkpoint "),
    "envs by the million": (field("config", "num_envs", value=2**20), "base_sample_size is 64: it must be at least"),
    "networks of terabytes": (
        field("config", "policy_hidden_sizes", value=[10**6, 10**6]),
        "policy_hidden_sizes is [1000000, 1000000]: checkpoint",
    ),
    "networks of text": (field("config", "policy_hidden_sizes", value="abc"), "policy_hidden_sizes is 'abc': it must"),
    "switch of text": (
        field("config", "normalize_observations", value="no"),
        "normalize_observations is 'no': it must",
    ),
    "clip of text": (field("config", "observation_clip", value="5"), "observation_clip is '5': it must be a number"),
    "rule": (field("config", "sample_size_rule", value="magic"), "sample_size_rule is 'magic': it must be one of"),
    "discount null": (field("hyperparams", "discount", value=None), "discount is None, not a number"),
    "discount range": (field("hyperparams", "discount", value=2), "discount is 2: it must lie in [0, 1]"),
    "limits nested": (field("hyperparams", "cost_limit", value=[[4]]), "cost_limit is [[4]], not a number"),
    "limits large": (field("hyperparams", "cost_limit", value=10**400), "cost_limit is 1000000"),
    "limits many": (field("hyperparams", "cost_limit", value=[1] * 20_000), "cost_limit has 20000 values, more than"),
    "a long name": (field("task", value="x" * 100_000), "it must be text of at most 4096 characters"),
    "limits several": (field("hyperparams", "cost_limit", value=[4, 5]), "cost_limit has 2 values: the environment"),
    "endless": (field("hyperparams", "num_iterations", value="inf"), "config.json cannot be used: cannot convert"),
    "iterations several": (field("hyperparams", "num_iterations", value=[4, 5]), "num_iterations is [4, 5], not a num"),
    "iterations past": (
        field("hyperparams", "num_iterations", value=3),
        "num_iterations is 3: the run is at iteration 4",
    ),
    "another limit": (field("hyperparams", "cost_limit", value=5.0), "cost_limit is 5.0: checkpoint"),
    "another seed": (field("seed", value=3), "seed is 3: checkpoint"),
    "another algorithm": (field("algorithm", value="crpo"), "algorithm is 'crpo': checkpoint"),
    "algorithm a path": (field("algorithm", value="../../evil"), "algorithm is '../../evil': it must be one of espo"),
}


@pytest.mark.parametrize("case", CONFIG)
def test_is_one_error_and_nothing_is_touched(case, victim, monkeypatch):
    damage, message = CONFIG[case]
    damage(victim)
    before = snapshot(victim)
    with pytest.raises(BadInputError) as refused:
        attempt(monkeypatch, victim, PointEnv())
    assert message in str(refused.value)
    assert snapshot(victim) == before


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("task", "__import__('os')", "unknown task"),
        ("backend", "magic", "unknown backend 'magic'"),
        ("reward", "x", "unknown reward"),
    ],
)
def test_names_of_tasks_are_looked_up_and_not_run(victim, monkeypatch, name, value, message):
    field("task", value="safety_reacher")(victim)
    field("backend", value="spring")(victim)
    field("reward", value="task")(victim)
    field(name, value=value)(victim)
    with pytest.raises(BadInputError, match=message):
        attempt(monkeypatch, victim, None)
