"""Checkpoints that are damaged or made to harm: passed over and named, nothing lost, nothing run."""

import json
import shutil

import numpy as np
import pytest

from espo_jax.cli.common import BadInputError
from tests.espo_jax.runs.damage import attempt, cut, flipped, rewritten, snapshot, text
from tests.probe_envs import PointEnv


def in_array(change, step=4, name="float32"):
    """Changes the only data file of an array of a checkpoint."""

    def damage(path):
        folder = path / "checkpoints" / str(step) / "state" / name
        file = next(entry for entry in folder.iterdir() if entry.name != ".zarray")
        change(file)

    return damage


def claim(name, value):
    """Changes what a checkpoint says of an array."""

    def damage(path):
        file = path / "checkpoints" / "4" / "state" / "float32" / ".zarray"
        file.write_text(json.dumps({**json.loads(file.read_text()), name: value}))

    return damage


def about(name, value, *, signed=False):
    """Changes what a checkpoint says of itself; it then has no digest, as of earlier versions, unless `signed`."""

    def damage(path):
        file = path / "checkpoints" / "4" / "about" / "metadata"
        content = {**json.loads(file.read_text()), name: value}
        if not signed:
            del content["metadata_digest"]
        file.write_text(json.dumps(content))

    return damage


def swapped(path):
    folder = path / "checkpoints"
    (folder / "4").rename(folder / "aside")
    (folder / "2").rename(folder / "4")
    (folder / "aside").rename(folder / "2")


def copied_to(name):
    return lambda path: shutil.copytree(path / "checkpoints" / "4", path / "checkpoints" / name)


def without(name):
    return lambda path: shutil.rmtree(path / "checkpoints" / "4" / name)


CHECKPOINTS = {
    "truncated": (in_array(rewritten(lambda content: content[:-4])), "bytes, not "),
    "extended": (in_array(rewritten(lambda content: content + b"more")), "bytes, more than "),
    "bit flipped": (in_array(rewritten(flipped)), "its content is not what was saved"),
    "a key flipped": (in_array(rewritten(flipped), name="uint32"), "its content is not what was saved"),
    "empty file": (in_array(rewritten(lambda content: b"")), "float32 has 0 bytes, not "),
    "terabytes claimed": (claim("shape", [10**12]), "shape of float32 is [1000000000000], not"),
    "large chunks": (claim("chunks", [10**12]), "chunks of float32 is [1000000000000], not"),
    "compressed": (claim("compressor", {"id": "zstd"}), "compressor of float32 is {'id': 'zstd'}, not None"),
    "objects": (claim("dtype", "|O"), "dtype of float32 is '|O', not <f4"),
    "no array": (without("state/float32"), "float32/.zarray cannot be read"),
    "no state": (without("state"), "cannot be read"),
    "no about": (without("about"), "about/metadata cannot be read"),
    "about truncated": (cut("checkpoints/4/about/metadata"), "metadata is damaged"),
    "about of nothing": (about("versions", 3), "it does not say with what it was written"),
    "tree unreadable": (text("checkpoints/4/state/_METADATA", "{"), ""),
    "tree of paths": (text("checkpoints/4/state/_METADATA", '{"tree_metadata": {"(\'../../../x\',)": {}}}'), ""),
    "a file of orbax": (text("checkpoints/4/_CHECKPOINT_METADATA", "[" * 100_000), "_CHECKPOINT_METADATA is damaged"),
    "settings of nothing": (about("settings", {}, signed=True), "its metadata are not what was saved"),
    "format of text": (about("format", "3"), "it does not say with what it was written"),
    "digest": (about("digest", "0"), "its content is not what was saved"),
    "iteration": (about("iteration", 3), "its content is not what was saved"),
    "best": (about("best_safe", {"iteration": "x", "reward": 1}), "best_safe is {'iteration': 'x'"),
    "swapped": (swapped, "its content is not what was saved"),
    "a name that is no number": (copied_to("007"), ""),
    "a name without end": (copied_to("9" * 200), ""),
    "from the future": (copied_to("99"), "checkpoint 99 is passed over (its content is not what was"),
}


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_is_passed_over(case, victim, monkeypatch):
    damage, message = CHECKPOINTS[case]
    damage(victim)
    before = snapshot(victim)
    if case == "swapped":  # the other one is not what it says either
        with pytest.raises(BadInputError, match=r"no checkpoint in .* can be used"):
            attempt(monkeypatch, victim, PointEnv())
    else:
        prepared = attempt(monkeypatch, victim, PointEnv())
        harmless = case.startswith(("from the future", "a name ", "tree "))
        assert prepared.restored.iteration == (4 if harmless else 2)
        assert message in "".join(prepared.restored.notes)
        assert np.isfinite(prepared.restored.state.policy).all()
    contents = [sorted(c for name, c in files.items() if "/state/" in name) for files in (before, snapshot(victim))]
    assert contents[0] == contents[1], "nothing is thrown away"


def test_another_format_names_itself(victim, monkeypatch):
    about("format", 99)(victim)
    with pytest.raises(BadInputError, match="has format 99: this version reads 2"):
        attempt(monkeypatch, victim, PointEnv())


def test_another_version_is_said(victim, monkeypatch):
    file = victim / "checkpoints" / "4" / "about" / "metadata"
    content = json.loads(file.read_text())
    content["versions"]["jax"] = "0.1"
    del content["metadata_digest"]
    file.write_text(json.dumps(content))
    assert "written with jax 0.1, this is" in attempt(monkeypatch, victim, PointEnv()).restored.notes[0]


def test_half_written_checkpoint_is_ignored(victim, monkeypatch):
    shutil.copytree(victim / "checkpoints" / "4", victim / "checkpoints" / "5.orbax-checkpoint-tmp")
    assert attempt(monkeypatch, victim, PointEnv()).restored.iteration == 4


def test_metrics_without_a_checkpoint_are_not_begun_again(victim, monkeypatch):
    """As in a seed of `espo compare`, or where somebody made room on the disk."""
    shutil.rmtree(victim / "checkpoints")
    before = snapshot(victim)
    with pytest.raises(BadInputError, match=r"has 4 iterations in metrics\.jsonl and no checkpoint to go on from"):
        attempt(monkeypatch, victim, PointEnv())
    assert snapshot(victim) == before
