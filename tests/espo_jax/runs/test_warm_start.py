"""A training that begins with the networks of another run."""

import shutil

import jax
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from espo_jax import espo
from espo_jax.runs import policies, prepare
from espo_jax.runs.options import RunOptions
from tests.probe_envs import TINY, CountingEnv, PointEnv
from tests.tiny_runs import copied, finished, go_on, measured, prepared, train

pytestmark = pytest.mark.usefixtures("shared_programs")


def first_state(run):
    return run.algorithm.init(jax.random.key(3), run.hyperparams)


def test_the_first_state_has_the_networks_of_the_other_run(tmp_path):
    run = prepared(tmp_path / "run", init_from=str(finished()), settings={"cost_limit": 1.0})
    state, (normalizer, policy, critics) = first_state(run), policies.load_params(finished())
    np.testing.assert_array_equal(state.policy, ravel_pytree(policy)[0])
    np.testing.assert_array_equal(state.critics[0], ravel_pytree(jax.tree.map(lambda x: x[0], critics))[0])
    np.testing.assert_array_equal(state.normalizer.mean, normalizer.mean)
    assert int(state.iteration) == 0
    run.directory.close()


def test_a_run_goes_on_when_the_other_run_is_gone(tmp_path):
    other = copied(finished(), tmp_path / "other")
    train(tmp_path / "run", init_from=str(other))
    train(tmp_path / "longer", init_from=str(other), settings={"num_iterations": 6})
    shutil.rmtree(other)
    go_on(tmp_path / "run", num_iterations=6)
    assert measured(tmp_path / "run") == measured(tmp_path / "longer")


@pytest.mark.parametrize(
    ("settings", "env", "message"),
    [
        ({"policy_hidden_sizes": (4,)}, None, r"whose policy_hidden_sizes is \(8,\): here it is \(4,\)"),
        ({"activation": "relu"}, None, "whose activation is tanh: here it is relu"),
        ({}, PointEnv(num_constraints=2), "which has 1 constraints: the environment has 2"),
        ({"cost_limit": 1.0, "episode_length": 8}, CountingEnv(), "which has 1 observations: the environment has 2"),
    ],
)
def test_networks_that_do_not_fit_are_refused(tmp_path, settings, env, message):
    options = RunOptions(task="point", init_from=str(finished()), run_dir=str(tmp_path / "run"))
    with pytest.raises(ValueError, match=message):
        prepare.new_run(env or PointEnv(), {**TINY, **settings}, options)
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"init_from is .*no, whose policy this run begins with: .*config\.json"):
        prepared(tmp_path / "run", init_from=str(tmp_path / "no"))


def test_training_from_python_begins_there_too():
    result = espo.train(
        PointEnv(), preset="none", init_from=str(finished()), num_evals=2, **{**TINY, "num_iterations": 1}
    )
    assert result.metrics["training/iteration"] == 1
