"""The study of a tuning by itself: what is drawn, and that it is drawn better the more is told."""

import builtins
import sys

import numpy as np
import optuna
import pytest

from espo_jax.results.search_space import parse_space
from espo_jax.results.study import Study
from espo_jax.results.trial import COMPLETE, FAILED, RUNNING, Outcome, best_of

SPACE = parse_space(("target_kl=0.01:1:log", "zeta_negative=-0.5:-0.1:log"), ("activation=tanh,relu",))


def judged(settings):
    """The reward grows with target_kl, and the cost passes its limit of 1 at 0.1; relu is worse."""
    x = np.log10(settings["target_kl"])
    reward = x - 3 * abs(settings["zeta_negative"] + 0.2) - (settings["activation"] == "relu")
    return Outcome(float(reward), (float(2 + x),), (1.0,), (float(1 + x),))


def ran(path, count, seed=0, per_round=1):
    """A study of so many trials that are drawn, written and told, round by round."""
    study = Study(path, SPACE, seed)
    while len(study.trials()) < count:
        for _ in range(per_round):
            study.add(study.draw(), [f"lane{len(study.trials())}"])
        for trial in study.trials()[-per_round:]:
            study.tell(trial, judged(trial.settings))
    return study


def test_the_search_finds_the_best_point_within_the_limit(tmp_path):
    trials = ran(tmp_path, 60).trials()
    assert {trial.status for trial in trials} == {COMPLETE}
    best = best_of(trials)
    assert best.outcome.reward > -1.25  # -1 at target_kl 0.1 and zeta_negative -0.2
    assert best.settings["target_kl"] <= 0.1
    assert best.settings["activation"] == "tanh"
    early, late = (np.mean([trial.outcome.reward for trial in part]) for part in (trials[:10], trials[-20:]))
    assert late > early
    assert np.mean([trial.outcome.is_safe for trial in trials[-20:]]) > 0.5


def test_optuna_knows_the_constraints_and_finds_the_same_best(tmp_path):
    trials = ran(tmp_path, 20).trials()
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(tmp_path / "journal.log")))
    study = optuna.load_study(study_name="tune", storage=storage)
    assert [list(trial.constraints.values()) for trial in study.trials] == [list(t.outcome.excess) for t in trials]
    assert study.best_trial.number == best_of(trials).number


def test_draws_follow_from_the_seed_and_what_was_told(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        ran(tmp_path / name, 14, seed, per_round=2)
    one, same, other = (Study(tmp_path / name, SPACE, seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert one.trials() == same.trials()
    assert one.draw() == same.draw()
    assert one.trials()[0].settings != other.trials()[0].settings


def test_trials_of_a_round_differ(tmp_path):
    study = ran(tmp_path, 16, per_round=4)
    for _ in range(4):
        study.add(study.draw(), [])
    values = sorted(np.log10(trial.settings["target_kl"]) for trial in study.trials()[-4:])
    assert len(set(values)) == 4


def test_a_trial_that_runs_or_failed_is_read_by_another_process(tmp_path):
    study = Study(tmp_path, SPACE, 0)
    study.add(study.draw(), ["one", "two"])
    study.add(study.draw(), [], "refused")
    study.add(study.draw(), ["three"])
    study.tell(study.trials()[2], "seed 0: nan")
    trials = Study(tmp_path, SPACE, 0).trials()
    assert [trial.status for trial in trials] == [RUNNING, FAILED, FAILED]
    assert [trial.failure for trial in trials] == ["", "refused", "seed 0: nan"]
    assert trials[0].lanes == ("one", "two")


def test_a_trial_half_told_by_a_process_that_was_killed_is_told(tmp_path, monkeypatch):
    study = Study(tmp_path, SPACE, 0)
    study.add(study.draw(), ["one"])
    (trial,) = study.trials()
    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "tell", lambda *_, **__: pytest.skip.Exception)
        study.tell(trial, judged(trial.settings))
    assert study.trials()[0].status == RUNNING
    again = Study(tmp_path, SPACE, 0)
    assert again.tell(again.trials()[0], judged(trial.settings)) == again.trials()[0]
    assert again.trials()[0].status == COMPLETE


def test_two_constraints_are_two_of_optuna(tmp_path):
    study = Study(tmp_path, SPACE, 0)
    study.add(study.draw(), ["one"])
    told = study.tell(study.trials()[0], Outcome(1.0, (1.0, 3.0), (2.0, 2.0), (-0.5, 1.5)))
    assert not told.outcome.is_safe
    assert best_of(study.trials()) is None


def test_without_optuna_is_one_clear_error(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args):
        if name == "optuna":
            raise ImportError
        return real(name, *args)

    monkeypatch.delitem(sys.modules, "optuna")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r'needs the package optuna: pip install "espo_jax\[tune\]"'):
        Study(tmp_path, SPACE, 0)
