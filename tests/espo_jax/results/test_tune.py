"""A tuning from its first round to its last, undisturbed, disturbed, and by two processes."""

import collections
import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from espo_jax.results import sweep_read, tune_folder
from espo_jax.results.study import Study
from espo_jax.results.trial import COMPLETE, FAILED, best_of, best_text
from espo_jax.results.trial_lanes import TrialLanes
from espo_jax.results.tune import Tuning
from espo_jax.results.tune import tune as tune_in_python
from espo_jax.results.tune_options import TuneOptions
from espo_jax.runs import files
from espo_jax.runs.signals import Interrupted
from espo_jax.sweeps import columns
from espo_jax.sweeps.folder import SweepFolder
from espo_jax.sweeps.sweep import Worker
from tests.espo_jax.sweeps.test_sweep import Signal
from tests.tiny_runs import Quiet
from tests.tiny_sweeps import make_env
from tests.tiny_tunings import OPTIONS, RUN, SETTINGS, compiled_once, lanes, tune, tuned


class Killed(BaseException):
    """The process ends here."""


def test_every_trial_is_trained_with_every_seed_and_told():
    path, trials, printed = tuned()
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    assert {trial.status for trial in trials} == {COMPLETE}
    rows = lanes(path)
    assert [row["lane"] for row in rows] == [lane for trial in trials for lane in trial.lanes]
    assert [row["seed"] for row in rows] == [0, 1] * 4
    assert [row["target_kl"] for row in rows] == [trial.settings["target_kl"] for trial in trials for _ in (0, 1)]
    assert len(SweepFolder.open(path / "sweep").manifest.groups) == 2  # one for each round
    assert [line for line in printed if line.startswith("trials")] == ["trials 0 to 1 of 4", "trials 2 to 3 of 4"]


def test_what_is_told_is_that_of_the_lanes():
    path, trials, _ = tuned()
    rows = {row["lane"]: row for row in lanes(path)}
    for trial in trials:
        of_trial = [rows[lane] for lane in trial.lanes]
        bounds = [row["stochastic_cost"] + 1.96 * row["stochastic_cost_std"] for row in of_trial]  # two episodes
        assert trial.outcome.reward == pytest.approx(np.mean([row["stochastic_reward"] for row in of_trial]))
        assert trial.outcome.cost == pytest.approx((np.mean([row["stochastic_cost"] for row in of_trial]),))
        assert trial.outcome.cost_limit == (50.0,)
        assert trial.outcome.excess == pytest.approx((max(bounds) - 50,), abs=1e-4)


def test_an_unsafe_trial_with_a_larger_reward_is_not_the_best():
    path, trials, _ = tuned()
    best = best_of(trials)
    largest = max(trials, key=lambda trial: trial.outcome.reward)
    assert best.outcome.is_safe
    assert not largest.outcome.is_safe
    assert largest.outcome.reward > best.outcome.reward
    assert "best safe trial: " in best_text(trials)
    lane = sweep_read.read_sweep(path / "sweep").best()
    assert lane["stochastic_reward"] >= best.outcome.reward


def test_the_same_command_runs_nothing_again_and_more_trials_go_on(tmp_path):
    path, trials, _ = tuned()
    copy = shutil.copytree(path, tmp_path / "tune")
    before = (copy / "journal.log").read_bytes()
    again, printed = tune(copy)
    assert (again, printed) == (trials, [])
    assert (copy / "journal.log").read_bytes() == before
    more, _ = tune(copy, num_trials=5)
    assert more[:4] == trials
    assert len(more) == 5
    assert len(lanes(copy)) == 10


def test_a_signal_saves_and_the_same_command_goes_on_to_the_same_trials(tmp_path):
    path, trials, _ = tuned()
    for checks in (2, 4, 3, 5):
        try:
            tune(tmp_path / "tune", stop=Signal(checks))
        except Interrupted:
            continue
    assert tune(tmp_path / "tune")[0] == trials
    assert lanes(tmp_path / "tune") == lanes(path)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (Study, "add", 0),
        (Study, "add", 3),
        (SweepFolder, "plan", 1),
        (Worker, "run", 1),
        (Study, "tell", 1),
        (Tuning, "_free_groups", 2),
    ],
)
def test_a_process_that_is_killed_loses_no_trial_and_repeats_none(owner, name, call, after, tmp_path, monkeypatch):
    path, trials, _ = tuned()
    calls, method = iter(range(100)), getattr(owner, name)

    def killed(*args, **options):
        is_now = next(calls) == call
        if is_now and not after:
            raise Killed
        result = method(*args, **options)
        if is_now:
            raise Killed
        return result

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, killed)
        with pytest.raises(Killed):
            tune(tmp_path / "tune")
    assert tune(tmp_path / "tune")[0] == trials
    assert lanes(tmp_path / "tune") == lanes(path)
    metrics = columns.read(sorted((tmp_path / "tune" / "sweep" / "metrics").iterdir()))
    pairs = collections.Counter(zip(metrics["lane"].to_pylist(), metrics["iteration"].to_pylist(), strict=True))
    assert set(pairs.values()) == {1}


def test_a_line_of_the_journal_that_was_written_in_part_is_written_again(tmp_path):
    path, trials, _ = tuned()
    copy = shutil.copytree(path, tmp_path / "tune")
    journal = copy / "journal.log"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-30])  # of what says that trial 3 is complete
    assert tune(copy)[0] == trials
    assert len(journal.read_bytes().splitlines()) > len(whole.splitlines()) - 1


TWO = """
import json, sys
import tests.conftest
from tests.tiny_tunings import tune
trials, printed = tune(sys.argv[1], num_trials=6)
print(json.dumps([sum("iteration" in line for line in printed), [trial.number for trial in trials]]))
"""


def test_two_processes_share_the_work(tmp_path):
    root = Path(__file__).parents[3]
    path = tmp_path / "tune"
    argv = [sys.executable, "-c", TWO, str(path)]
    both = [subprocess.Popen(argv, cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=300)[0] for process in both]
    lines, numbers = zip(*(json.loads(output.splitlines()[-1]) for output in outputs), strict=True)
    assert numbers == (list(range(6)),) * 2
    assert min(lines) > 0, "each trained some"
    trials, printed = tune(path, num_trials=6)
    assert printed == []
    rows = lanes(path)
    assert collections.Counter(row["status"] for row in rows) == {"finished": 12}
    assert sorted(row["lane"] for row in rows) == sorted(lane for trial in trials for lane in trial.lanes)
    metrics = columns.read(sorted((path / "sweep" / "metrics").iterdir()))
    assert metrics.num_rows == 12 * 4
    assert len(set(zip(metrics["lane"].to_pylist(), metrics["iteration"].to_pylist(), strict=True))) == 12 * 4


def test_a_group_of_another_process_is_waited_for(tmp_path, monkeypatch):
    with pytest.raises(Interrupted):
        tune(tmp_path / "tune", stop=Signal(2), num_trials=2)
    folder = SweepFolder.open(tmp_path / "tune" / "sweep")
    held = folder.locked(folder.manifest.groups[0])
    held.__enter__()
    waits = []

    def sleep(_):
        waits.append(1)
        if len(waits) == 2:
            held.__exit__(None, None, None)  # the other process is lost

    monkeypatch.setattr("espo_jax.results.tune.time.sleep", sleep)
    trials, _ = tune(tmp_path / "tune", num_trials=2)
    assert len(waits) == 2
    assert [trial.status for trial in trials] == [COMPLETE] * 2


def test_a_trial_with_nan_is_told_as_failed(tmp_path):
    both = {"choice": ("critic_l2=0.001,3e38",), "num_trials": 6}
    trials, printed = tune(tmp_path / "tune", **both)
    assert {(trial.settings["critic_l2"], trial.status) for trial in trials} == {(0.001, COMPLETE), (3e38, FAILED)}
    failed = [trial for trial in trials if trial.status == FAILED]
    for trial in failed:
        assert trial.outcome is None
        assert "seed 0: iteration 1: nan or infinity" in trial.failure
        (line,) = [line for line in printed if line.startswith(f"trial {trial.number} ")]
        assert " failed: seed 0: iteration 1: nan" in line
    assert f"{len(failed)} failed" in best_text(trials)
    assert tune(tmp_path / "tune", **both) == (trials, [])


def test_a_point_that_the_algorithm_refuses_is_a_failed_trial(tmp_path, monkeypatch):
    def refuse(self, settings, of=TrialLanes.of):
        if settings["target_kl"] > 0.1:
            raise ValueError("it is too large")
        return of(self, settings)

    monkeypatch.setattr("espo_jax.results.trial_lanes.TrialLanes.of", refuse)
    trials, _ = tune(tmp_path / "tune")
    assert [trial.failure for trial in trials if trial.settings["target_kl"] > 0.1] == ["it is too large"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"range": ("target_kl=0.001:0.4:log",)}, "its range or choice of target_kl is '0.001:0.5:log'"),
        ({"choice": ("discount=0.9,0.99",)}, "its range or choice of discount is not given"),
        ({"seeds": "0-2"}, "its seeds is [0, 1], and [0, 1, 2] is asked for"),
        ({"random_seed": 1}, "its random_seed is 0, and 1 is asked for"),
        ({"settings": {"cost_limit": 3.0}}, "its cost_limit is 50.0, and 3.0 is asked for"),
        ({"settings": {"num_iterations": 9}}, "its num_iterations is 4, and 9 is asked for"),
        (
            {"run_options": dataclasses.replace(RUN, algorithm="pcpo")},
            "its algorithm is 'trpo', and 'pcpo' is asked for",
        ),
    ],
)
def test_a_folder_of_another_study_is_refused(change, message):
    path, _, _ = tuned()
    with pytest.raises(ValueError, match="has another study") as error:
        tune(path, **change)
    assert message in str(error.value)


def test_a_folder_that_is_no_tuning_is_refused_before_an_environment_is_made(tmp_path):
    def never(*names):
        pytest.fail(f"the environment {names} was made")

    options = TuneOptions(**{**OPTIONS, "tune_dir": str(tmp_path)})
    with pytest.raises(ValueError, match=r"has no study\.json: it is no tuning, and is never overwritten"):
        Tuning.prepare(options, RUN, SETTINGS, never)
    (tmp_path / tune_folder.STUDY).write_text('{"format": 9}')
    with pytest.raises(files.DamagedError, match=r"study\.json has format 9: this version reads 1"):
        Tuning.prepare(options, RUN, SETTINGS, never)


def test_damaged_files_are_named(tmp_path):
    copy = shutil.copytree(tuned()[0], tmp_path / "tune")
    (copy / "journal.log").write_text('{"op_code": 99}\n{\n{}\n')
    with pytest.raises(files.DamagedError, match=r"journal\.log is damaged"):
        tune(copy)
    (copy / tune_folder.STUDY).write_text('{"format": 1}')
    with pytest.raises(files.DamagedError, match=r"study\.json is damaged: it has no tuned"):
        tune(copy)


def test_from_python(tmp_path):
    with compiled_once():
        options = TuneOptions(**{**OPTIONS, "tune_dir": str(tmp_path / "tune")})
        trials = tune_in_python(options, RUN, SETTINGS, make_env, Quiet())
    assert trials == tuned()[1]
