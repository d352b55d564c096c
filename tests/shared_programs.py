"""Programs that runs share: the same step is traced and compiled once in a process instead of once in a run."""

import contextlib

import jax
import pytest

from espo_jax import algorithms, evaluation, loop
from espo_jax.results import replay
from espo_jax.runs import evaluations, run

_algorithms, _steps, _evaluators = {}, {}, {}


def make(name, env, config=None, sample_size_rule=None, make=algorithms.make):
    task = getattr(env, "task", None)
    kind = (type(env), repr(sorted(vars(env).items())) if task is None else (task.name, env.backend))
    key = (name, kind, config, sample_size_rule)
    if key not in _algorithms:
        _algorithms[key] = make(name, env, config, sample_size_rule)
    return _algorithms[key]


def start(algorithm, hyperparams, key, state=None, *, donate=False):
    """As `loop.start` without donation; a compiled step refuses a state or hyperparameters of other types."""
    del donate
    if algorithm.step not in _steps:
        _steps[algorithm.step] = loop.start(algorithm, hyperparams, key, state)
    if state is None:
        state = jax.jit(algorithm.init)(key, hyperparams)
    return _steps[algorithm.step]._replace(state=state)


def evaluator(env, make_inference_fn, **options):
    key = (make_inference_fn, *options.items())
    if key not in _evaluators:
        _evaluators[key] = evaluation.evaluator(env, make_inference_fn, **options)
    return _evaluators[key]


@contextlib.contextmanager
def shared():
    """Within this context, runs and repetitions share what they compile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(algorithms, "make", make)
        patch.setattr(run, "start", start)
        patch.setattr(replay, "start", start)
        patch.setattr(evaluations, "evaluator", evaluator)
        yield


@pytest.fixture
def shared_programs():
    with shared():
        yield
