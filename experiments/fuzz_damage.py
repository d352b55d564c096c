"""Random damage to a run directory, for `fuzz_readers.py`: each function does one kind, and says what it did."""

import contextlib
import io
import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

# JSON texts that no run writes where they are put. json.loads takes some of them that are not JSON, such as NaN.
TEXTS = (
    "null", "true", "0", "-1", "1.5", "-0.0", "1e400", "-1e400", "1e-320", "NaN", "Infinity", '"inf"', '"-inf"',
    '"nan"', "9223372036854775808", "1" + 40 * "0", 5000 * "9", "1000000", "2147483647", "1000000000000", "[]", "{}",
    '""', "[[1]]", "[null]", '["inf"]', "[1, 2, 3]", f"[{', '.join(20_000 * ['1'])}]", '{"a": 1}', 100_000 * "[",
    900 * "[" + 900 * "]", 400 * '{"a":' + "1" + 400 * "}", f'"{100_000 * "x"}"', '"[/x]"', '"[bold]x"', '"[link=a]"',
    '"\\ud800"', '"\\u001b[31mred\\u001b]0;x\\u0007"', '"a\\nb\\rc"', '"\\u0000"', '"\\u202eabc"', '"../../x"',
    '"$x_{"', '"safety_reacher "', '"1"', '"float64"', '"\\\\"',
)  # fmt: skip
NPY_HEADERS = (
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 1000000000000000000), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (True, 1.0), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': 5, }",
    f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({100 * '1, '}), }}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
    "{'descr': '<U1000000000', 'fortran_order': False, 'shape': (1,), }",
    "{'descr': '|V0', 'fortran_order': False, 'shape': (1,), }",
    "{'descr': [('\\x1b[31m', '<f4')], 'fortran_order': False, 'shape': (1,), }",
    "{'descr': [('a', '<f4', (100000, 100000))], 'fortran_order': False, 'shape': (1,), }",
    "{'descr': '[/x]', 'fortran_order': None, 'shape': (1,), }",
    "{'descr': ('<f4', (2, 3)), 'fortran_order': False, 'shape': (1,), }",
    "{'descr': '<f4,' * 9, 'fortran_order': 1, 'shape': (), }",
    "{1: 2}", "[]", "", "\0", "{", 9000 * "(", 60_000 * " ", "{'descr': '<f4', 'shape': (1,)}", "b'\\x1b'", "'\ud800'",
)  # fmt: skip
NAMES = ("", ".npy", "../x.npy", "/x.npy", "\x1b[31m.npy", "[/x].npy", "policy.npy", "policy/params.npy", 5000 * "n")


def damage(targets: Sequence[Path], outside: Path, rng: random.Random) -> list[str]:
    """One to three kinds of damage to files.

    Args:
      targets: the files to choose from.
      outside: a file that links may point to, and that must stay as it is.
      rng: what is random.

    Returns:
      What was done.
    """
    done: list[str] = []
    targets = list(targets)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if not targets:
            break
        path = rng.choice(targets)
        if not path.is_file() or rng.random() < 0.2:
            # Reading or writing what replaces it may hang, or change the file outside.
            targets = [target for target in targets if path not in (target, *target.parents)]
            done.append(f"{path}: {_replace(path, outside, rng)}")
        else:
            change = _change_for(path, rng)
            with contextlib.suppress(ValueError, zipfile.BadZipFile):  # it is damaged already
                path.write_bytes(change(path.read_bytes(), rng))
            done.append(f"{path}: {change.__name__}")
    return done


def _change_for(path: Path, rng: random.Random) -> Callable[[bytes, random.Random], bytes]:
    """A change of the content of a file."""
    if path.suffix == ".png" or rng.random() < 0.2:
        return change_bytes
    return {".jsonl": change_line, ".npz": change_npz}.get(path.suffix, change_json)


def change_bytes(content: bytes, rng: random.Random) -> bytes:
    """Flip bits, cut, insert, repeat or remove."""
    begin, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 8, 100)) if content else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    middle = content[begin:end]
    others = (content[:begin], content[:begin] + rng.randbytes(9) + content[begin:], content[:end] + middle)
    more = (
        content[:begin] + content[end:],
        content[:begin] + bytes(len(middle)) + content[end:],
        b"\xff\xfe" + content,
    )
    return bytes(rng.choice((bytes(changed), bytes(changed), *others, *more)))


def change_line(content: bytes, rng: random.Random) -> bytes:
    """Change one line of JSON, or remove, repeat or move lines."""
    lines = content.splitlines(keepends=True) or [b"{}\n"]
    at = rng.randrange(len(lines))
    kind = rng.randrange(8)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(rng.randrange(len(lines)), lines[at])
    elif kind == 2:
        rng.shuffle(lines)
    elif kind == 3:
        lines.append(b"{" * rng.choice((1, 2**21)))
    else:
        lines[at] = change_json(lines[at], rng).replace(b"\n", b" ") + b"\n"
    return b"".join(lines)


def change_json(content: bytes, rng: random.Random) -> bytes:
    """Put an odd text in a random place of JSON, or remove, add, rename or double a field there."""
    try:
        tree: Any = [json.loads(content)]
    except RecursionError:  # an earlier damage nested it deeply
        return content[: len(content) // 2]
    container, key = rng.choice(list(_places(tree)))
    text = rng.choice(TEXTS)
    kind = rng.randrange(8)
    if kind == 0 and isinstance(container, dict):
        del container[key]
    elif kind == 1 and isinstance(container, dict):
        container[rng.choice(("[/x]", "\x1b[31m", "a\nb", "\ud800", "", 100_000 * "k", "__class__"))] = container[key]
    elif kind == 2:
        container[key] = rng.choice((str, lambda x: [x], lambda x: {"x": x}, lambda x: [x, x]))(container[key])
    elif kind == 3 and isinstance(container[key], int | float):
        container[key] *= rng.choice((-1, 10, 1000, 10**9, 1e-3, 1e300))
    elif kind == 4 and isinstance(container[key], list):
        container[key] = container[key] * rng.choice((0, 2, 1000))
    else:
        container[key] = "@place@"
    return json.dumps(tree[0]).replace('"@place@"', text).encode()


def _places(tree: Any) -> Any:
    """Every (container, key) of a tree of JSON."""
    for key, value in list(tree.items() if isinstance(tree, dict) else enumerate(tree)):
        yield tree, key
        if isinstance(value, dict | list):
            yield from _places(value)


def change_npz(content: bytes, rng: random.Random) -> bytes:
    """Change the members of an npz file, or how they are stored."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    at = rng.randrange(len(members))
    name, member = members[at]
    kind = rng.randrange(8)
    if kind == 0:
        del members[at]
    elif kind == 1:
        members.append((rng.choice((*NAMES, name)), member))
    elif kind == 2:
        members[at] = rng.choice(NAMES), member
    elif kind in (3, 4):
        members[at] = name, _with_header(member, rng)
    elif kind == 5:
        members[at] = name, change_bytes(member, rng)
    elif kind == 6:
        members[at] = name, _npy(_other_array(np.load(io.BytesIO(member)), rng))
    buffer = io.BytesIO()
    compression = zipfile.ZIP_DEFLATED if kind == 7 else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for member_name, data in members:
            archive.writestr(zipfile.ZipInfo(member_name), data, compression)
    return buffer.getvalue()


def _with_header(member: bytes, rng: random.Random) -> bytes:
    header = rng.choice(NPY_HEADERS).encode("latin-1", "replace")
    version = rng.choice((b"\x01\x00", b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x09"))
    size = len(header) if rng.random() < 0.9 else rng.choice((0, 65535))
    return b"\x93NUMPY" + version + size.to_bytes(2 if version == b"\x01\x00" else 4, "little") + header + member[128:]


def _other_array(array: np.ndarray, rng: random.Random) -> np.ndarray:
    """An array of another type or shape, or one with other numbers."""
    if (kind := rng.randrange(7)) == 0:
        return array.astype(rng.choice(("f8", "f2", "i4", "?", "c8", ">f4")))
    if kind == 1:
        return np.full_like(array, rng.choice((np.nan, np.inf, -1, 3e38, 1e-45, 0)))
    shapes = (array[None], array.ravel(), array.T, np.concatenate([array.ravel()] * 2), np.zeros((0,), array.dtype))
    return shapes[kind - 2]


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _replace(path: Path, outside: Path, rng: random.Random) -> str:
    """Put something else in place of a file or folder."""
    kept = outside.with_name("kept")
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.rename(kept)
    kinds: dict[str, Callable[[], Any]] = {
        "nothing": lambda: None,
        "FIFO": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "empty file": path.touch,
        "link to itself": lambda: path.symlink_to(path.name),
        "link to the file": lambda: path.symlink_to(kept),
        "link to another file": lambda: path.symlink_to(outside),
        "link to /dev/zero": lambda: path.symlink_to("/dev/zero"),
        "hard link to the file": lambda: os.link(kept if kept.exists() else outside, path),
        "hard link to another file": lambda: os.link(outside, path),
        "sparse file of 1 TB": lambda: (path.touch(), os.truncate(path, 2**40)),
        "random bytes": lambda: path.write_bytes(rng.randbytes(1000)),
        "socket": lambda: os.mknod(path, 0o140644),
    }
    kind = rng.choice(list(kinds))
    kinds[kind]()
    return kind
