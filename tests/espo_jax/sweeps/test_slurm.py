"""Jobs of SLURM for the groups of a sweep, with commands of SLURM that only write down what they are told."""

import json
import pickle
import shutil
import signal
import sys

import pytest

from espo_jax.runs.place import BusyError
from espo_jax.runs.signals import Interrupted, Stop
from espo_jax.sweeps import slurm
from espo_jax.sweeps.folder import SweepFolder
from espo_jax.sweeps.options import SweepOptions
from espo_jax.sweeps.slurm_job import GroupJob
from tests.fake_slurm import FakeSlurm
from tests.tiny_sweeps import limits, make_env, swept


@pytest.fixture
def cluster(tmp_path, monkeypatch, nothing_allowed):  # a job takes along what its process has allowed
    return FakeSlurm(tmp_path / "bin", monkeypatch)


@pytest.fixture
def folder(tmp_path):
    """A sweep of three groups."""
    return SweepFolder.plan(tmp_path / "sweep", limits(1.0, 4.0, 8.0), lanes_per_group=2)


def submit(folder, stop=None, **options):
    notes = []
    slurm.submit(folder, SweepOptions(launcher="slurm", **options), notes.append, stop or Stop())
    return notes


def test_each_group_has_a_job(cluster, folder):
    first, last = submit(folder, pack_size=2)
    assert first == "3 groups: 3 to submit"
    assert last.startswith("submitted as 1_0 to 1_2; look with: squeue --jobs=1; tail -F ")
    assert slurm.newest(folder) == {f"group-000{n}": f"1_{n}" for n in range(3)}
    for n in range(3):
        with (folder.path / "slurm" / f"1_{n}_submitted.pkl").open("rb") as file:
            job = pickle.load(file).function
        assert job == GroupJob(str(folder.path.absolute()), f"group-000{n}", 2, 120)
        assert len(pickle.dumps(job)) < 500


def test_asking_again_submits_nothing_twice(cluster, folder):
    submit(folder)
    cluster.set_states({"1_0": "RUNNING", "1_1": "COMPLETING", "1_2": "PENDING"})
    assert submit(folder) == ["3 groups: 1 RUNNING, 1 COMPLETING, 1 PENDING, 0 to submit"]
    assert len(cluster.scripts()) == 1


@pytest.mark.parametrize("state", ["FAILED", "TIMEOUT", "NODE_FAIL", "CANCELLED by 0", "COMPLETED", None])
def test_a_lost_job_is_named_and_its_group_submitted_again(state, cluster, folder):
    submit(folder)
    cluster.set_states({"1_0": "RUNNING", **({"1_1": state} if state else {}), "1_2": "PENDING"})
    lost, counts, new = submit(folder)
    what = state.split()[0] if state else "SLURM does not know it any more"
    log = folder.path.absolute() / "slurm" / "1_1_0_log.out"
    assert lost == f"job 1_1 ended before group-0001 was done: {what}; its log is {log}"
    assert counts == "3 groups: 1 RUNNING, 1 PENDING, 1 to submit"
    assert new.startswith("submitted as 2; ")
    assert slurm.newest(folder) == {"group-0000": "1_0", "group-0001": "2", "group-0002": "1_2"}


def test_the_accounting_says_what_the_queue_has_forgotten(cluster, folder):
    submit(folder)
    cluster.set_command("squeue", "echo slurm_load_jobs error: Invalid job id specified >&2; exit 1")
    cluster.set_command("sacct", "echo '1_0|COMPLETED'; echo '1_1|OUT_OF_MEMORY'; echo '1_2|CANCELLED by 0'")
    states = slurm.states_of(["1_0", "1_1", "1_2", "7"])
    assert list(states.values()) == ["COMPLETED", "OUT_OF_MEMORY", "CANCELLED", "SLURM does not know it any more"]


def test_what_is_done_or_run_elsewhere_is_not_submitted(cluster, tmp_path):
    shutil.copytree(swept().path, tmp_path / "sweep")
    wider = SweepFolder.plan(tmp_path / "sweep", limits(1.0, 4.0, 8.0), lanes_per_group=1)
    with wider.locked(wider.manifest.groups[2]):
        counts, new = submit(wider)
    assert counts == "4 groups: 2 done, 1 run elsewhere, 1 to submit"
    assert new.startswith("submitted as 1; ")
    assert slurm.newest(wider) == {"group-0003": "1"}


def test_flags_of_the_job(cluster, folder):
    submit(
        folder, slurm_partition="gpu", slurm_account="lab", slurm_time=90, slurm_gpus=1, slurm_cpus=8, slurm_mem=1.5,
        slurm_jobs=2, slurm_grace=30, slurm_set=("qos=high", "exclusive", "constraint=a100&ib", "job-name=mine"),
    )  # fmt: skip
    [script] = cluster.scripts()
    lines = {line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH")}
    assert lines >= {
        "partition=gpu", "account=lab", "time=90", "gpus-per-node=1", "cpus-per-task=8", "mem=1536MB", "array=0-2%2",
        "signal=USR2@90", "qos=high", "exclusive", "constraint='a100&ib'", "job-name=mine", "requeue",
    }  # fmt: skip
    srun = script.splitlines()[-1]
    assert "--cpus-per-task=8" in srun
    assert sys.executable in srun


@pytest.mark.parametrize(
    ("command", "script", "message"),
    [
        ("sbatch", "echo sbatch: error: invalid partition >&2; exit 1", "SLURM takes no job: .*invalid partition"),
        ("sbatch", "echo good morning", "SLURM takes no job: .*good morning"),
        ("squeue", "echo Unable to contact slurm controller >&2; exit 1", "squeue does not say .*Unable to contact"),
    ],
)
def test_a_cluster_that_refuses_is_an_error(command, script, message, cluster, folder):
    if command == "squeue":
        submit(folder)
    cluster.set_command(command, script)
    with pytest.raises(ValueError, match=message):
        submit(folder)
    assert len(slurm.newest(folder)) == (3 if command == "squeue" else 0)


def test_two_commands_at_once(cluster, folder):
    (folder.path / "slurm").mkdir()
    with (folder.path / "slurm" / ".lock").open("ab") as file:
        slurm.lock(file, folder.path)
        with pytest.raises(BusyError):
            submit(folder)
    assert cluster.scripts() == []


def test_a_signal_waits_until_jobs_are_written_down(cluster, folder, monkeypatch):
    stop = Stop()

    def write(*args, write=slurm._write_jobs):
        assert not stop.at_once
        stop.received = signal.SIGINT
        write(*args)

    monkeypatch.setattr(slurm, "_write_jobs", write)
    with pytest.raises(Interrupted):
        submit(folder, stop)
    assert set(slurm.newest(folder)) == {group.name for group in folder.manifest.groups}


@pytest.mark.parametrize("text", ["[]", "{}", '{"jobs": [{"group": "group-0000"}]}', "{"])
def test_damaged_records_are_refused(text, cluster, folder):
    submit(folder)
    (folder.path / "slurm" / "jobs.json").write_text(text)
    with pytest.raises(ValueError, match=r"jobs\.json is damaged"):
        submit(folder)
    assert len(cluster.scripts()) == 1


def test_waiting_ends_when_all_groups_are_done_or_lost(cluster, tmp_path, monkeypatch):
    folder = SweepFolder.plan(tmp_path / "sweep", limits(), lanes_per_group=3)
    submit(folder)
    looks = []

    def sleep(seconds):
        looks.append(cluster.states())
        if len(looks) == 1:
            cluster.set_states({"1_0": "RUNNING", "1_1": "RUNNING"})
        elif len(looks) == 2:
            cluster.set_command("squeue", "echo Try later >&2; exit 1")
        elif len(looks) == 3:
            cluster.set_command("squeue", 'cat "{folder}/queue"')
            shutil.copytree(swept().path / "groups" / "group-0000", folder.path / "groups" / "group-0000",
                dirs_exist_ok=True)  # fmt: skip
            cluster.set_states({"1_0": "COMPLETED", "1_1": "FAILED"})

    monkeypatch.setattr(slurm.time, "sleep", sleep)
    notes = []
    assert slurm.wait(folder, notes.append) == ["group-0001"]
    assert notes[:3] == [
        "2 groups to go, 2 PENDING", "2 groups to go, 2 RUNNING", "squeue does not say how the jobs stand: Try later",
    ]  # fmt: skip
    assert notes[3] == "1 groups to go"
    assert [note.partition(" was")[0] for note in notes[4:]] == ["job 1_1 ended before group-0001"]
    assert json.loads((folder.path / "slurm" / "jobs.json").read_text())["jobs"][1]["job"] == "1_1"


def test_jobs_make_environments_by_name(cluster):
    with pytest.raises(ValueError, match="launcher slurm takes tasks by name only"):
        slurm.check(SweepOptions(launcher="slurm"), "spring", make_env)


def test_defaults_of_a_machine_without_accelerator_are_not_those_of_its_jobs(cluster):
    with pytest.raises(ValueError, match=r"backend is not given.*slurm_gpus needs --backend"):
        slurm.check(SweepOptions(launcher="slurm", slurm_gpus=1), None)
    with pytest.raises(ValueError, match=r"slurm_gpus needs --lanes-per-group"):
        slurm.check(SweepOptions(launcher="slurm", slurm_gpus=1, grid=("backend=spring,mjx",)), None)
    slurm.check(SweepOptions(launcher="slurm", slurm_gpus=1, lanes_per_group=64), "spring")


def test_a_folder_whose_name_slurm_would_change_is_refused(cluster, tmp_path):
    with pytest.raises(ValueError, match="has a percent sign"):
        submit(SweepFolder.plan(tmp_path / "100%", limits(), lanes_per_group=3))
