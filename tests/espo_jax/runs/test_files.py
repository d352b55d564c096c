"""Files are there whole or not at all."""

import json
import math
import os
import zipfile

import numpy as np
import pytest

from espo_jax.runs import files


def test_infinities_survive():
    value = {"a": [math.inf, -math.inf, 1.0], "b": {"c": np.float32("inf")}, "d": "reward", "e": math.nan}
    text = json.dumps(files.strict(value), allow_nan=False)
    assert files.infinities(json.loads(text)) == {
        "a": [math.inf, -math.inf, 1.0], "b": {"c": math.inf}, "d": "reward", "e": None,
    }  # fmt: skip


def test_what_cannot_be_written_leaves_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    files.write_json(path, {"a": 1})

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match=r"cannot write .*result.json \(No space left on device\)"):
        files.write_json(path, {"a": 2})
    assert files.read_json(path) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["result.json"]


def test_arrays_come_back_and_numpy_reads_them(tmp_path):
    arrays = {
        "a/b": np.arange(6.0).reshape(2, 3),
        "c": np.asfortranarray(np.ones((3, 2), np.float32)),
        "n": np.int32(4),
    }
    files.write_arrays(tmp_path / "x.npz", arrays)
    for found in (files.read_arrays(tmp_path / "x.npz"), np.load(tmp_path / "x.npz")):
        assert set(found) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype


def test_what_is_written_never_follows_a_link(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("x")
    for name in ("file", ".file.part"):
        (tmp_path / name).symlink_to(precious)
    files.write(tmp_path / "file", b"new")
    assert precious.read_text() == "x"
    assert (tmp_path / "file").read_bytes() == b"new"
    assert not (tmp_path / "file").is_symlink()


def test_a_device_or_a_pipe_is_not_replaced_by_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")
    for path in (tmp_path / "pipe", tmp_path / "link"):
        with pytest.raises(OSError, match=r"cannot write .* \(a device or a pipe"):
            files.write(path, b"x")
    assert (tmp_path / "link").is_symlink()
    assert not (tmp_path / "pipe").is_file()


@pytest.mark.parametrize("depth", [33, 500, 900, 990, 5000, 100_000])
@pytest.mark.parametrize("kind", ["list", "object"])
def test_json_that_is_nested_deeply_is_one_error(depth, kind):
    pair = ("[", "]") if kind == "list" else ('{"a":', "}")
    text = '{"a":' + pair[0] * depth + "1" + pair[1] * depth + "}"
    with pytest.raises(files.DamagedError, match=r"x is damaged: it"):
        files.parse_json(text.encode(), "x")


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (3,", b"(" * 5000, b"'\xff'", b"\0" * 100, b"lambda: 1",
        b"{'descr': '" + b"x" * 9000 + b"', 'fortran_order': False, 'shape': (3,)}", b"{'descr': [('a', '<f4', -1)]}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"1," * 3000 + b")}", b"1 if", b'"""', b"\\",
        b"{'descr': '|O', 'fortran_order': False, 'shape': (3,)}", b"{'descr': '<f4', 'shape': (-3,)}", b"",
    ],
)  # fmt: skip
def test_a_header_of_npy_that_does_not_parse_is_one_error(header, tmp_path):
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(12)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", content)
    with pytest.raises(files.DamagedError, match=r"x\.npz cannot be used: ."):
        files.read_arrays(tmp_path / "x.npz")


@pytest.mark.parametrize("change", ["value", "name", "shape", "type"])
def test_digest_sees_every_change(change):
    arrays = {"a": np.arange(6.0), "b": np.ones(2)}
    other = dict(arrays)
    if change == "value":
        other["a"] = np.nextafter(arrays["a"], 9.0)
    elif change == "name":
        other["c"] = other.pop("b")
    elif change == "shape":
        other["a"] = other["a"].reshape(2, 3)
    else:
        other["a"] = other["a"].view(np.int64)
    assert files.digest(arrays) == files.digest(dict(reversed(arrays.items())))
    assert files.digest(other) != files.digest(arrays)
