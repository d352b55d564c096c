"""A folder with links, pipes and devices in it, without files, or that cannot be written to."""

import contextlib
import os
import shutil
import socket
import threading

import pytest

from espo_jax.cli.common import BadInputError
from espo_jax.results import report
from espo_jax.results.read import read_run
from espo_jax.runs import policies
from espo_jax.runs.files import DamagedError
from tests.espo_jax.runs.damage import attempt, most_memory, snapshot
from tests.probe_envs import PointEnv
from tests.tiny_runs import go_on


@pytest.mark.parametrize(
    "name",
    [
        "metrics.jsonl",
        "evaluations.jsonl",
        "checkpoints",
        "checkpoints/4",
        "checkpoints/4/about",
        "checkpoints/4/state/float32/0",
        "tensorboard",
    ],
)
def test_links_that_leave_the_folder_are_refused(name, victim, tmp_path, monkeypatch):
    outside = tmp_path / "outside"
    entry = victim / name
    if entry.exists():
        entry.rename(outside)
    else:
        outside.mkdir()
    entry.symlink_to(outside)
    before = snapshot(tmp_path)
    with pytest.raises(BadInputError, match="is a link: a run directory has none"):
        attempt(monkeypatch, victim, PointEnv())
    assert snapshot(tmp_path) == before


def test_folder_that_cannot_be_written_to(victim, monkeypatch):
    """A file where the folder of checkpoints should be; root may write to what is read-only."""
    shutil.rmtree(victim / "checkpoints")
    (victim / "checkpoints").write_text("")
    (victim / "metrics.jsonl").write_text("")
    prepared = attempt(monkeypatch, victim, PointEnv())
    with pytest.raises(OSError, match=r"cannot write .*checkpoints: .*File exists"):
        prepared.checkpoints()


def fifo(path):
    os.mkfifo(path)


def device(path):
    """/dev/zero: it never ends."""
    try:
        os.mknod(path, 0o20666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root makes devices")


def unix_socket(path):
    with socket.socket(socket.AF_UNIX) as made, contextlib.chdir(path.parent):  # its path must be short
        made.bind(path.name)


def link(path):
    path.symlink_to("/dev/zero")


def sparse(path):
    """A terabyte that takes no room."""
    with path.open("wb") as file:
        file.truncate(2**40)


def resume(path, monkeypatch):
    attempt(monkeypatch, path, PointEnv())


READERS = {
    "config.json": lambda path, _: read_run(path),
    "metrics.jsonl": lambda path, _: read_run(path),
    "policy.npz": lambda path, _: policies.load(path),
    "policy_best_safe.npz": lambda path, _: policies.load(path, best_safe=True),
    "evaluations.jsonl": lambda path, _: report.write(path, path / "report.html", env=PointEnv()),
    "result.json": lambda path, _: report.write(path, path / "report.html", env=PointEnv()),
    "checkpoints/4/about/metadata": resume,
    "checkpoints/4/state/float32/.zarray": resume,
    "checkpoints/4/state/float32/0": resume,
    "checkpoints/4/_CHECKPOINT_METADATA": resume,
}


@pytest.mark.parametrize("make", [fifo, device, unix_socket, link, sparse])
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_regular_file_stops_and_fills_nothing(make, name, victim, monkeypatch):
    if name.startswith("checkpoints") and make is sparse:
        pytest.skip("it is a damaged checkpoint like others")
    (victim / name).unlink(missing_ok=True)
    make(victim / name)
    before = most_memory()
    found = []

    def read():
        try:
            READERS[name](victim, monkeypatch)
        except (DamagedError, BadInputError) as error:
            found.append(str(error))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(timeout=30)
    assert not reader.is_alive(), "it waits for ever"
    assert most_memory() - before < 2**28
    (message,) = found
    assert str(victim / name) in message
    assert "is a link" in message or "is not a regular file" in message or "bytes, more than" in message


@pytest.mark.usefixtures("shared_programs")
def test_a_copy_of_hard_links_goes_on_by_itself(victim, tmp_path):
    """As `cp -al` makes it."""
    other = tmp_path / "other"
    shutil.copytree(victim, other, copy_function=os.link)
    before = snapshot(victim)
    result, _ = go_on(other, num_iterations=6)
    assert result["status"] == "finished"
    assert snapshot(victim) == before
