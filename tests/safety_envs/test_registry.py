import subprocess
import sys

import brax.envs
import pytest
import safety_envs


def test_fourteen_tasks():
    muj = ("ant", "halfcheetah", "hopper", "humanoid", "humanoidstandup", "pusher", "reacher", "walker2d")
    velocity = ("ant", "halfcheetah", "hopper", "humanoid", "swimmer", "walker2d")
    names = {f"safety_{robot}" for robot in muj} | {f"safety_{robot}_velocity" for robot in velocity}
    assert set(safety_envs.task_names()) == names
    assert all(safety_envs.describe(name).name == name for name in names)


@pytest.mark.parametrize("name", safety_envs.task_names())
def test_registered_with_brax(name):
    env = brax.envs.get_environment(name, backend="mujoco", reward="step")
    assert (env.backend, env.task.name) == ("mujoco", name)


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("reacher", 40.0),
        ("walker2d", 40.0),
        ("humanoidstandup", 1400.0),
        ("hopper_velocity", 25.0),
        ("ant_velocity", 0.5),
    ],
)
def test_published_limits(name, limit):
    env = safety_envs.make(f"safety_{name}")
    assert (env.cost_limit, env.episode_length) == (limit, 1000)


def test_default_backend_on_a_cpu_is_the_engine():
    assert safety_envs.make("safety_hopper").backend == "mujoco"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("reacher", {}, "unknown task 'reacher'; known tasks: safety_ant, .*safety_walker2d_velocity"),
        (
            "safety_ant",
            {"backend": "bullet"},
            "unknown backend 'bullet'; known backends: generalized, spring, positional, mjx, warp, mujoco",
        ),
        ("safety_ant", {"reward": "shaped"}, "unknown reward 'shaped'; known rewards: task, step"),
        ("safety_ant", {"goal": 1.0}, "safety_ant has no option 'goal'; its options: backend, reward"),
        ("safety_halfcheetah", {"speed": 1.0}, "no option 'speed'; its options: backend, reward, goal_velocity"),
        ("safety_halfcheetah", {"goal_velocity": float("nan")}, "goal_velocity is nan; it must be finite"),
    ],
)
def test_bad_names_and_options_are_refused_with_the_known_ones(name, options, message):
    with pytest.raises(ValueError, match=message):
        safety_envs.make(name, **options)


def test_import_prints_nothing_and_needs_no_espo_jax():
    code = """
import safety_envs, sys
safety_envs.gymnasium.make_vec, safety_envs.playground.from_playground
assert not any(m.startswith("espo_jax") or m.startswith("mujoco_playground") for m in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == ""
