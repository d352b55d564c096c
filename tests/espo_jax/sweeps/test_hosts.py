"""Several processes at one sweep."""

import contextlib
import os
import socket
import subprocess
import sys

import pytest

from espo_jax.sweeps import hosts
from espo_jax.sweeps.folder import SweepFolder
from espo_jax.sweeps.options import SweepOptions
from tests.tiny_sweeps import limits, rows, swept, work

_PROCESS = """
import sys
from espo_jax.sweeps import hosts
hosts.join(sys.argv[1])
from pathlib import Path
from espo_jax.sweeps.folder import SweepFolder
from tests.tiny_sweeps import limits, work
folder = SweepFolder.plan(Path(sys.argv[2]), limits(), lanes_per_group=1)
print("\\n".join(line for line in work(folder) if "| iteration" in line))
"""


def test_two_processes_of_jax_distributed_share_a_sweep(tmp_path):
    """Neither runs a lane of the other, both end, and the lanes are those of one process."""
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PROCESS, f"127.0.0.1:{port},2,{index}", str(tmp_path / "sweep")],
            env={**os.environ, "JAX_PLATFORMS": "cpu"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for index in range(2)
    ]  # fmt: skip
    try:
        ended = [process.communicate(timeout=180) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], [error for _, error in ended]
    groups = [{line.split()[0] for line in output.splitlines()} for output, _ in ended]
    assert groups[0] | groups[1] == {f"group-000{n}" for n in range(4)}
    assert not groups[0] & groups[1]
    assert rows(SweepFolder.open(tmp_path / "sweep")) == rows(swept())


def test_processes_begin_at_different_groups(monkeypatch):
    monkeypatch.setattr(hosts.jax, "process_count", lambda: 4)
    begins = []
    for index in range(4):
        monkeypatch.setattr(hosts.jax, "process_index", lambda index=index: index)
        turns = hosts.in_turn(list("abcdefgh"))
        assert sorted(turns) == list("abcdefgh")
        begins.append(turns[0])
    assert begins == ["a", "c", "e", "g"]


def test_a_process_waits_for_the_others_and_takes_over_what_they_leave(tmp_path, monkeypatch):
    monkeypatch.setattr(hosts.jax, "process_count", lambda: 2)
    folder = SweepFolder.plan(tmp_path / "sweep", limits(), lanes_per_group=4)
    held = contextlib.ExitStack()
    held.enter_context(folder.locked(folder.manifest.groups[0]))
    monkeypatch.setattr("espo_jax.sweeps.sweep.time.sleep", lambda seconds: held.close())
    assert work(SweepFolder.open(folder.path))[0].endswith("another process works on it")
    assert rows(folder) == rows(swept())


@pytest.mark.parametrize("text", ["", "host", "host:1,2", "host:1,2,2", "host:1,a,0", "host:1,0,0", "host,2,0"])
def test_bad_addresses_are_refused(text):
    with pytest.raises(ValueError, match=r"distributed is .*: it must be auto, or address:port,count,index"):
        SweepOptions(distributed=text)
