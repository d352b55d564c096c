"""Gymnasium's own environments, put into a given state."""

import warnings

import mujoco
import numpy as np
from gymnasium.envs.mujoco.ant_v4 import AntEnv
from gymnasium.envs.mujoco.half_cheetah_v4 import HalfCheetahEnv
from gymnasium.envs.mujoco.hopper_v4 import HopperEnv
from gymnasium.envs.mujoco.humanoid_v4 import HumanoidEnv
from gymnasium.envs.mujoco.humanoidstandup_v4 import HumanoidStandupEnv
from gymnasium.envs.mujoco.pusher_v5 import PusherEnv
from gymnasium.envs.mujoco.reacher_v4 import ReacherEnv
from gymnasium.envs.mujoco.swimmer_v4 import SwimmerEnv
from gymnasium.envs.mujoco.walker2d_v4 import Walker2dEnv

MAKERS = {
    "ant": AntEnv,
    "halfcheetah": HalfCheetahEnv,
    "hopper": HopperEnv,
    "humanoid": HumanoidEnv,
    "humanoidstandup": HumanoidStandupEnv,
    # Pusher-v4 refuses MuJoCo >= 3; v5 has another model of the object, and rewards after the step.
    "pusher": PusherEnv,
    "reacher": ReacherEnv,
    "swimmer": SwimmerEnv,
    "walker2d": Walker2dEnv,
}


def robot_of(task_name):
    return task_name.split("_")[1]


def make(task_name):
    """A Gymnasium environment, unwrapped: no time limit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = MAKERS[robot_of(task_name)]()
    env.reset(seed=0)
    return env


def put(env, q, qd):
    """Starts an episode at q, qd; returns the observation."""
    mujoco.mj_resetData(env.model, env.data)
    env.set_state(np.asarray(q, np.float64), np.asarray(qd, np.float64))
    return env._get_obs()
