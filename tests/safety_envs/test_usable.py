"""What is often mistaken for an environment is refused with what to use instead."""

import gymnasium
import pytest
import safety_envs
from brax.envs.wrappers import training
from safety_envs import require_usable

from espo_jax import espo
from tests.probe_envs import PointEnv


def test_a_gymnasium_environment_is_refused_with_what_to_use():
    for env in (gymnasium.make("CartPole-v1"), safety_envs.gymnasium.make_vec("safety_reacher", num_envs=2)):
        with pytest.raises(ValueError, match=r"is a Gymnasium environment, .* safety_envs\.make has"):
            espo.train(env, num_iterations=1)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda env: safety_envs.wrap(env),
        safety_envs.vectorize,
        lambda env: training.EpisodeWrapper(env, 8, 1),
        lambda env: safety_envs.SafetyWrapper(training.VmapWrapper(env), lambda *_: 0.0),
    ],
)
def test_an_environment_that_is_wrapped_already_is_refused(wrap):
    with pytest.raises(ValueError, match=r"is wrapped in .*Wrapper already: give the environment itself"):
        espo.make(wrap(PointEnv()))


def test_a_function_and_a_playground_environment_are_refused():
    with pytest.raises(ValueError, match="is no environment: it has no reset and step: call it"):
        require_usable(PointEnv)
    playground = type("Cartpole", (), {"mjx_model": None, "reset": None, "step": None})()
    with pytest.raises(ValueError, match=r"Cartpole is a MuJoCo Playground environment: give\s+SafetyWrapper"):
        require_usable(playground)
