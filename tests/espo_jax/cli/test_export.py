"""`espo export`: what is refused, before anything is written."""

import sys

import pytest

from espo_jax import cli
from tests.tiny_runs import copied, finished


@pytest.fixture
def run_dir():
    return finished()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--formats", "pickle"], "unknown format 'pickle'; known formats: stablehlo, onnx"),
        (["--best-safe"], "has no policy_best_safe.npz"),
        (["--output", "/nowhere"], "No such file or directory"),
    ],
)
def test_bad_input(run_dir, tmp_path, flags, message, capsys):
    path = copied(run_dir, tmp_path / "run")
    (path / "policy_best_safe.npz").unlink(missing_ok=True)
    assert cli.main(["export", str(path), *flags]) == 2
    assert message in capsys.readouterr().err
    assert not list(path.glob("*.stablehlo"))


def test_without_the_package_onnx(run_dir, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert cli.main(["export", str(run_dir), "--formats", "onnx"]) == 2
    assert 'pip install "espo_jax[onnx]"' in capsys.readouterr().err
