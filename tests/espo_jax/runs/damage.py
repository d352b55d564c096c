"""Ways to damage a run directory, and an attempt to go on with it."""

import json
import resource

from espo_jax.cli import train as train_command

MOST_MEMORY = 2**28  # bytes that reading may take beyond what is taken


def snapshot(path):
    """Contents of all regular files."""
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


def attempt(monkeypatch, path, env):
    """Where `espo train --resume` would go on; nothing is compiled."""
    prepared = []
    monkeypatch.setattr(train_command, "execute", lambda run, stop: prepared.append(run) or 0)
    before = most_memory()
    try:
        train_command.resume(str(path), {}, env)
    finally:
        assert most_memory() - before < MOST_MEMORY
    prepared[0].directory.close()
    return prepared[0]


def most_memory():
    """Bytes that this process has taken so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def text(name, content):
    """Another content of a file."""
    return lambda path: (path / name).write_text(content)


def cut(name, keep=0.5):
    """Only the beginning of a file."""

    def change(path):
        content = (path / name).read_bytes()
        (path / name).write_bytes(content[: int(len(content) * keep)])

    return change


def rewritten(change):
    """A change of the bytes of a file."""

    def damage(file):
        content = bytearray(file.read_bytes())
        file.write_bytes(bytes(change(content)))

    return damage


def flipped(content):
    """One bit is another."""
    content[len(content) // 2] ^= 16
    return content


def field(*place, value):
    """A change of a field of config.json; Ellipsis removes it."""

    def change(path):
        content = json.loads((path / "config.json").read_text())
        section = content
        for name in place[:-1]:
            section = section[name]
        if value is ...:
            del section[place[-1]]
        else:
            section[place[-1]] = value
        (path / "config.json").write_text(json.dumps(content))

    return change


def line(number, name, value, file="metrics.jsonl"):
    """A change of a field of a line of metrics.jsonl; Ellipsis removes it."""

    def damage(path):
        lines = (path / file).read_text().splitlines()
        content = {**json.loads(lines[number]), name: value}
        lines[number] = json.dumps({key: kept for key, kept in content.items() if kept is not ...})
        (path / file).write_text("\n".join(lines) + "\n")

    return damage
