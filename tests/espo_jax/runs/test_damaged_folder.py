"""A folder with links that lead out of it, without files, or that cannot be written to."""

import shutil

import pytest

from espo_jax.cli.common import BadInputError
from tests.espo_jax.runs.damage import attempt, snapshot
from tests.probe_envs import PointEnv


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


def test_missing_metrics_are_one_error(victim, monkeypatch):
    (victim / "metrics.jsonl").unlink()
    with pytest.raises(BadInputError, match=r"cannot write to run directory .*\(No such file"):
        attempt(monkeypatch, victim, PointEnv())


def test_folder_that_cannot_be_written_to(victim, monkeypatch):
    """A file where the folder of checkpoints should be; root may write to what is read-only."""
    shutil.rmtree(victim / "checkpoints")
    (victim / "checkpoints").write_text("")
    (victim / "metrics.jsonl").write_text("")
    prepared = attempt(monkeypatch, victim, PointEnv())
    with pytest.raises(OSError, match=r"cannot write .*checkpoints: .*File exists"):
        prepared.checkpoints()
