"""What the numbers of a run depend on beside its settings is in its config.json."""

import json
import re
import subprocess
import sys

import jax

from espo_jax.runs import surroundings


def test_config_has_versions_device_and_command(intact):
    config = json.loads((intact / "config.json").read_text())
    assert {"jax", "brax", "mujoco", "espo_jax", "python"} <= set(config["versions"])
    assert config["versions"]["jax"] == jax.__version__
    assert config["device"]["platform"] == jax.devices()[0].platform
    assert config["command"] == sys.argv
    assert config["machine"]


def test_a_revision_is_one_of_this_repository_or_none(monkeypatch):
    revision = surroundings.surroundings()["git_revision"]
    assert revision is None or re.fullmatch("[0-9a-f]{40}(-dirty)?", revision)

    def missing(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", missing)
    assert surroundings.surroundings()["git_revision"] is None
