"""Environments by name: options, functions of the user's own, and what is refused."""

import pytest
import safety_envs
from safety_envs import registry

from espo_jax import own_code
from espo_jax.environments import named_env, parse_options, written_options
from tests.own_module import make_env
from tests.probe_envs import PointEnv

MODULE = "tests.own_module"


@pytest.fixture(autouse=True)
def allowed(nothing_allowed):
    own_code.allow(MODULE)


def test_options_are_numbers_where_they_look_like_numbers():
    found = parse_options(["goal-velocity=1.5", "count=3", "flag=true", "name=hills", "sizes=[1, 2]"])
    assert found == {"goal_velocity": 1.5, "count": 3, "flag": True, "name": "hills", "sizes": [1, 2]}
    assert written_options(found) == (
        "count=3", "flag=true", "goal_velocity=1.5", 'name="hills"', "sizes=[1, 2]",
    )  # fmt: skip
    assert parse_options(written_options(found)) == found


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["goal"], "env is 'goal': it must be an option of the task, name=value"),
        (["2=3"], "must be an option of the task"),
        (["a=1", "a=2"], "env names a twice"),
    ],
)
def test_options_of_another_form_are_refused(texts, message):
    with pytest.raises(ValueError, match=message):
        parse_options(texts)


def test_options_reach_the_tasks_of_this_library():
    env = named_env("safety_halfcheetah", "spring", env=["goal_velocity=1.5"])
    assert env.made_from == {"task": "safety_halfcheetah", "reward": "task", "env": {"goal_velocity": 1.5}}
    with pytest.raises(ValueError, match="safety_halfcheetah has no option 'goal'; its options: backend, reward, goal"):
        named_env("safety_halfcheetah", env=["goal=1.5"])


def test_a_function_of_the_users_own_makes_an_environment():
    env = named_env(f"{MODULE}:make_env", env=["limit=7"])
    assert isinstance(env, PointEnv)
    assert env.cost_limit == 7
    assert env.made_from["env"] == {"limit": 7}
    assert named_env(f"{MODULE}:make_reacher", "spring").backend == "spring"


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("make_env", {"env": ["lmit=7"]}, "make_env has no option 'lmit'; its options: limit"),
        ("make_env", {"backend": "spring"}, "backend is 'spring': tests.own_module:make_env has 'none' and takes no"),
        ("make_env", {"reward": "step"}, "reward is 'step': tests.own_module:make_env has one reward only"),
        ("make_broken", {}, r"make_broken cannot be made: KeyError: 'key' \(.*own_module.py, line \d+\)"),
        ("make_nothing", {}, "make_nothing makes a str: it must be a Brax environment or a safety_envs.Task"),
    ],
)
def test_what_a_function_does_not_take_is_refused(name, given, message):
    with pytest.raises(ValueError, match=message):
        named_env(f"{MODULE}:{name}", **given)


def test_a_physics_that_is_the_only_one_may_be_named():
    assert named_env(f"{MODULE}:make_env", PointEnv.backend).backend == PointEnv.backend


def test_an_unknown_task_may_be_one_of_a_module_that_is_not_imported():
    with pytest.raises(ValueError, match=r"unknown task 'my_point'; known tasks: safety_ant.*\(--allow-code MODULE\)"):
        named_env("my_point")


def test_a_registered_name_is_a_task_everywhere(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    safety_envs.register("my_point", make_env)
    assert "my_point" in safety_envs.task_names()
    assert named_env("my_point", env=["limit=2"]).cost_limit == 2
    with pytest.raises(ValueError, match="name is 'safety_ant': it is a task of safety_envs"):
        safety_envs.register("safety_ant", make_env)
    with pytest.raises(ValueError, match="without a colon"):
        safety_envs.register("my:point", make_env)
