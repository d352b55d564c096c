"""What the numbers of a run depend on beside its settings is in its config.json."""

import json
import os
import platform
import re
import subprocess
import sys

import jax

from espo_jax.runs import processor, surroundings


def test_config_has_versions_device_and_command(intact):
    config = json.loads((intact / "config.json").read_text())
    assert {"jax", "brax", "mujoco", "espo_jax", "python"} <= set(config["versions"])
    assert config["versions"]["jax"] == jax.__version__
    assert config["device"]["platform"] == jax.devices()[0].platform
    assert config["command"] == sys.argv
    assert config["machine"] == surroundings.surroundings()["machine"]


def test_a_machine_is_named_with_its_processor(monkeypatch, tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Xeon 1\ncache size\t: 30 KB\nflags\t\t: fpu avx2\npower:\n\n")
    monkeypatch.setattr(processor, "CPUINFO", info)
    assert processor.processor()["flags"] == "fpu avx2"
    system = f"{platform.system()} {platform.machine()}"
    assert surroundings.surroundings()["machine"] == f"{system}, Xeon 1, 30 KB, {os.cpu_count()} processors"
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "none")
    assert processor.processor() == {}
    assert surroundings.surroundings()["machine"] == f"{system}, {os.cpu_count()} processors"


def test_a_revision_is_one_of_this_repository_or_none(monkeypatch):
    revision = surroundings.surroundings()["git_revision"]
    assert revision is None or re.fullmatch("[0-9a-f]{40}(-dirty)?", revision)

    def missing(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", missing)
    assert surroundings.surroundings()["git_revision"] is None
