"""Runs that earlier versions wrote open in this one, with every command.

tests/data has format_3 (ESPO) and format_3_first_order (PPO-Lagrangian) on safety_reacher, so that the command line
opens them as it is; format_2 is on PointEnv, which is given to the functions behind the commands.
"""

import json
import re
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from espo_jax import load_policy
from espo_jax.cli import main
from espo_jax.cli.common import BadInputError
from espo_jax.cli.evaluate import EvalOptions, evaluate
from espo_jax.cli.render import RenderOptions, render
from espo_jax.cli.replay import ReplayOptions, replay
from espo_jax.results import report
from espo_jax.results.read import read_run
from espo_jax.runs import files, run
from espo_jax.runs.records import read_metrics, readable
from espo_jax.runs.run_config import RunConfig
from tests.probe_envs import PointEnv
from tests.rendering import can_render, render_environment
from tests.slow_cases import slow_but
from tests.tiny_runs import DATA, Quiet, copied, resumed

pytestmark = pytest.mark.usefixtures("shared_programs")
FORMAT_2 = DATA / "format_2"
REAL = ("format_3", "format_3_first_order")
EVERY = ("format_2", *REAL)


@pytest.fixture(params=REAL)
def real(request, tmp_path):
    """A copy of a run that the command line opens as it is."""
    return copied(DATA / request.param, tmp_path / "run")


def printed_number(text, name):
    return float(re.search(rf"  {name}: (\S+)", text)[1])


@pytest.mark.parametrize("name", EVERY)
def test_load_policy(name):
    policy = load_policy(DATA / name, deterministic=True)
    size = 1 if name == "format_2" else 11
    action, _ = policy(jnp.zeros((3, size)))
    assert action.shape == (3, 1 if name == "format_2" else 2)
    assert np.isfinite(action).all()


@pytest.mark.parametrize("name", EVERY)
def test_export(name, tmp_path):
    assert main(["export", str(DATA / name), "--formats", "stablehlo,onnx", "--output", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"policy.stablehlo", "policy.onnx"}


@pytest.mark.parametrize("name", EVERY)
def test_plot(name, tmp_path, capsys):
    assert len(read_run(DATA / name).records) == 4
    assert main(["plot", str(DATA / name), "--output", str(tmp_path / "plot.svg")]) == 0
    assert (tmp_path / "plot.svg").stat().st_size > 20_000
    assert "written to" in capsys.readouterr().out


def test_eval(real, capsys):
    assert main(["eval", str(real), "--episodes", "2"]) == 0
    rows = json.loads((real / "eval-last.json").read_text())["rows"]
    assert [(row["policy"], row["backend"], row["length"]["mean"]) for row in rows] == [
        ("stochastic", "mujoco", 20.0), ("deterministic", "mujoco", 20.0),
    ]  # fmt: skip
    assert "CVaR" in capsys.readouterr().out


def test_eval_of_format_2(tmp_path):
    path = copied(FORMAT_2, tmp_path / "run")
    assert evaluate(EvalOptions(run_dir=str(path), episodes=2), lambda backend: PointEnv()) == 0
    rows = json.loads((path / "eval-last.json").read_text())["rows"]
    assert [row["length"]["mean"] for row in rows] == [16.0, 16.0]


def test_report(real):
    pytest.importorskip("plotly")
    assert main(["report", str(real)]) == 0
    page = (real / "report.html").read_text()
    assert "stochastic, 2 new episodes" in page
    assert "const episode = {" in page


def test_report_of_format_2(tmp_path):
    pytest.importorskip("plotly")
    report.write(FORMAT_2, tmp_path / "report.html", env=PointEnv())
    assert "const episode = null;" in (tmp_path / "report.html").read_text()


@pytest.mark.skipif(not can_render(), reason="needs an off-screen OpenGL")
@pytest.mark.parametrize("name", slow_but(REAL[:1], REAL))
def test_render(name, tmp_path):
    output = tmp_path / "episode.gif"
    flags = ["--output", str(output), "--steps", "5", "--width", "80", "--height", "60"]
    command = [sys.executable, "-m", "espo_jax.cli", "render", str(DATA / name), *flags]
    done = subprocess.run(command, capture_output=True, text=True, env=render_environment())
    assert done.returncode == 0, done.stderr
    assert output.read_bytes().startswith(b"GIF8")


def test_render_of_format_2_has_nothing_to_show():
    with pytest.raises(BadInputError, match="unknown task 'point'"):
        render(RenderOptions(run_dir=str(FORMAT_2)))


def test_replay(real, capsys):
    """Its numbers are those of then; to the bit only with the same compiler on the same machine."""
    code = main(["replay", str(real)])
    text = capsys.readouterr().out
    assert code == (0 if "the same in all 4 iterations, to the bit" in text else 1)
    differences = [float(size) for size in re.findall(r"^  \w+: (\S+)$", text, flags=re.MULTILINE)]
    assert bool(differences) == (code == 1)
    assert max(differences, default=0.0) < 1e-3, "a KL divergence of 1e-6 nats has few digits"


def test_replay_of_format_2_says_where_it_differs(capsys):
    """Its sample sizes were rounded to whole time steps: the repetition has 45 samples where it had 44."""
    assert replay(ReplayOptions(run_dir=str(FORMAT_2)), PointEnv()) == 1
    text = capsys.readouterr().out
    assert "different from iteration 1 on" in text or "different from iteration 2 on" in text
    assert printed_number(text, "sample_size") == pytest.approx(1 / 45, rel=0.01)


def test_going_on_gives_the_numbers_of_the_version_that_wrote_it(tmp_path):
    """format_3_goes_on.jsonl is what that version wrote of iterations 5 and 6."""
    path = copied(DATA / "format_3", tmp_path / "run")
    before = (path / "metrics.jsonl").read_bytes()
    assert main(["train", "--resume", str(path), "--num-iterations", "6"]) == 0
    assert (path / "metrics.jsonl").read_bytes().startswith(before), "the first lines stay as they are"
    added = readable(read_metrics(path / "metrics.jsonl"))[4:]
    lines = (DATA / "format_3_goes_on.jsonl").read_text().splitlines()
    expected = [files.infinities(json.loads(line)) for line in lines]
    assert len(added) == len(expected) == 2
    for found, wanted in zip(added, expected, strict=True):
        assert set(found) == set(wanted)
        for name in set(wanted) - {"steps_per_second"}:
            exact = np.asarray(wanted[name]).dtype.kind != "f"
            assert found[name] == (wanted[name] if exact else pytest.approx(wanted[name], rel=1e-4)), name
    assert (path / "checkpoints" / "6").is_dir()


def test_a_first_order_run_goes_on(tmp_path):
    path = copied(DATA / "format_3_first_order", tmp_path / "run")
    before = (path / "metrics.jsonl").read_bytes()
    assert main(["train", "--resume", str(path), "--num-iterations", "6"]) == 0
    assert (path / "metrics.jsonl").read_bytes().startswith(before)
    assert [line["iteration"] for line in readable(read_metrics(path / "metrics.jsonl"))] == [1, 2, 3, 4, 5, 6]
    config = json.loads((path / "config.json").read_text())
    assert config["resumed"][-1]["iteration"] == 4
    assert config["format"] == 4
    assert RunConfig.read(path).hyperparams["num_iterations"] == 6


def test_format_2_goes_on(tmp_path):
    """Its 32-bit counter, its rollout in time steps, and its band of no width, which is refused in new runs."""
    path = copied(FORMAT_2, tmp_path / "run")
    goes_on = resumed(path, num_iterations=6)
    before = goes_on.restored.state
    lines = [json.loads(line) for line in (FORMAT_2 / "metrics.jsonl").read_text().splitlines()]
    assert int(before.env_steps) == lines[-1]["env_steps"]
    assert int(before.sample_size) == 44, "11 time steps of 4 environments, as the earlier version rounded"
    result = run.execute(goes_on, Quiet())
    assert result["status"] == "finished"
    records = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in records] == [1, 2, 3, 4, 5, 6]
    assert records[:4] == lines
    assert records[4]["env_steps"] == lines[-1]["env_steps"] + 44
    assert records[5]["sample_size"] == 45, "from then on it is exact"
