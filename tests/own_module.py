"""A module of a user's own code: environments, an algorithm and a sample-size rule that are found by name."""

from safety_envs import SafetyWrapper, Task, make

from espo_jax.algorithms import RULES
from tests.probe_envs import PointEnv, Refund

OURS = RULES["trpo"]._replace(name="mine")
NOT_A_RULE = 3


def make_env(limit=4.0):
    env = PointEnv()
    env.cost_limit = limit
    return env


def make_reacher(backend=None, cost_limit=10.0):
    """A task of safety_envs with another cost."""
    env = make("safety_reacher", backend=backend)
    return SafetyWrapper(env, lambda state, action, after: abs(action).sum(), cost_limit=cost_limit, episode_length=8)


def make_refund():
    return Refund()


def half(evidence):
    return evidence.base / 2


def make_nothing():
    return "nothing"


def make_broken():
    return {}["key"]


def describe(model):
    return Task(
        name="pendulum",
        model=model,
        frame_skip=2,
        observe=lambda readings: readings.qd,
        reward=lambda before, action, after: -abs(after.q[0]),
        cost=lambda before, action, after: action @ action,
        cost_limit=1.0,
        episode_length=16,
    )
