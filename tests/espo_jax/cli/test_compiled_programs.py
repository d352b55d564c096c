"""Compiled programs on disk: where, how many, and what a killed process leaves."""

import os
import types
import zlib

import pytest

from espo_jax.cli import compiled_programs


class FakeJax:
    def __init__(self, folder=None, enabled=True):
        self.config = types.SimpleNamespace(
            jax_compilation_cache_dir=folder, jax_enable_compilation_cache=enabled, update=self.update
        )
        self.given = {}

    def update(self, name, value):
        self.given[name] = value


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return compiled_programs.folder()


def test_programs_go_into_the_users_cache_folder(folder, tmp_path):
    jax = FakeJax()
    compiled_programs.keep(jax)
    assert jax.given["jax_compilation_cache_dir"] == str(folder)
    assert folder.is_dir()
    assert folder.is_relative_to(tmp_path / "espo_jax")


@pytest.mark.parametrize("jax", [FakeJax("/mine"), FakeJax(enabled=False)])
def test_what_the_user_has_said_stands(jax, folder):
    compiled_programs.keep(jax)
    assert jax.given == {}
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_is_passed_over(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    jax = FakeJax()
    compiled_programs.keep(jax)
    assert jax.given == {}


def test_half_written_programs_are_removed(folder):
    folder.mkdir(parents=True)
    whole = zlib.compress(b"program" * 100)
    (folder / "jit_a-cache").write_bytes(whole)
    (folder / "jit_b-cache").write_bytes(whole[:-5])
    (folder / "jit_c-cache").write_bytes(b"")
    (folder / "other").write_bytes(b"")
    compiled_programs.keep(FakeJax())
    assert {file.name for file in folder.iterdir()} == {"jit_a-cache", "other", ".checked"}


def test_old_programs_are_not_read_again(folder, monkeypatch):
    folder.mkdir(parents=True)
    (folder / "jit_a-cache").write_bytes(b"damaged")
    os.utime(folder / "jit_a-cache", (1, 1))
    (folder / ".checked").touch()
    compiled_programs.keep(FakeJax())
    assert (folder / "jit_a-cache").exists()


def test_what_was_not_used_for_longest_makes_room(folder, monkeypatch):
    monkeypatch.setattr(compiled_programs, "_MOST_BYTES", 2500)
    folder.mkdir(parents=True)
    (folder / ".checked").touch()
    for age, name in enumerate("abcd"):
        (folder / f"jit_{name}-cache").write_bytes(bytes(1000))
        os.utime(folder / f"jit_{name}-cache", (1000 - age, 1000 - age))
    compiled_programs.keep(FakeJax())
    assert {file.name for file in folder.glob("*-cache")} == {"jit_a-cache", "jit_b-cache"}


def test_a_user_without_a_home_folder_and_a_relative_path_are_passed_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")

    def home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(compiled_programs.Path, "home", home)
    jax = FakeJax()
    compiled_programs.keep(jax)
    assert jax.given == {}
    assert not list(tmp_path.iterdir())
