"""The page of a run in a headless browser, and films of its episode, where the programs for them are installed."""

import dataclasses
import html.parser
import json
import os
import re
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
import safety_envs

from espo_jax import cli, normalize
from espo_jax.algorithms.inference import inference_fn
from espo_jax.networks import make_networks
from espo_jax.results import episode, report
from espo_jax.runs import policies
from espo_jax.runs.run_config import RunConfig
from espo_jax.runs.run_directory import read_records

from tests.probe_envs import TINY, PointEnv
from tests.tiny_runs import copied, train

pytestmark = pytest.mark.usefixtures("quick_module")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, quick_module):
    """Hopper on the engine, untrained but for four iterations."""
    path = tmp_path_factory.mktemp("reported") / "run"
    settings = {name: value for name, value in TINY.items() if name != "cost_limit"}
    env = safety_envs.make("safety_hopper", backend="mujoco")
    train(path, env=env, settings={**settings, "episode_length": 16})
    content = json.loads((path / "config.json").read_text())
    content |= {"task": "safety_hopper", "backend": "mujoco", "reward": "task"}
    content["config"]["episode_length"] = 1000
    (path / "config.json").write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def page(run_dir, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    assert cli.main(["report", str(run_dir), "--output", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def seen(run_dir):
    config, networks, params = policies.load(run_dir)
    return episode.record(safety_envs.make("safety_hopper", backend="mujoco"), networks, config, params, steps=40)


def test_an_episode_has_the_time_limit_and_the_repeat_of_the_run(run_dir):
    """The totals are those of `espo eval`'s episode, by another loop over the same environment."""
    config, networks, params = policies.load(run_dir)
    env = safety_envs.make("safety_walker2d_velocity", backend="mujoco")
    networks = make_networks(env.observation_size, env.action_size, 1, config)
    params = (
        normalize.init(env.observation_size),
        networks.unravel_policy(networks.init_policy(jax.random.key(0))),
        None,
    )
    config = dataclasses.replace(config, episode_length=6, action_repeat=3)
    seen = episode.record(env, networks, config, params, deterministic=True)
    assert len(seen.reward) == 6
    state = env.reset(jax.random.split(jax.random.key(0))[0])
    policy, step, rewards = inference_fn(networks, config)(params, True), jax.jit(env.step), []
    for time in range(6):
        if time % 3 == 0:
            action, _ = policy(state.obs)
        state = step(state, action)
        rewards.append(float(state.reward))
    np.testing.assert_allclose(seen.reward, rewards, rtol=1e-5)


class Addresses(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href")]


def test_page_asks_for_nothing_from_elsewhere(page):
    parser = Addresses()
    parser.feed(page.read_text())
    assert parser.found == []


def test_values_cannot_become_code(run_dir, tmp_path):
    path = copied(run_dir, tmp_path / "run")
    content = json.loads((path / "config.json").read_text())
    evil = "</script><script>document.title='evil'</script>"
    content["command"], content["preset"] = [evil], evil
    (path / "config.json").write_text(json.dumps(content))
    report.write(path, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert evil not in text
    assert "&lt;/script&gt;" in text
    assert report._script_json({"a": evil}).count("<") == 0


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_in_a_browser_without_network(run_dir, page, tmp_path):
    """No errors, every iteration in the curves, and an episode that moves."""
    probe = """<script>
    const errors = []; window.addEventListener("error", e => errors.push(e.message));
    </script>"""
    after = """<script>
    const picture = () => document.getElementById("scene").toDataURL();
    setTimeout(() => {
      const first = picture(), at = document.getElementById("place").value;
      setTimeout(() => {
        const out = document.createElement("pre");
        out.id = "probe";
        out.textContent = JSON.stringify({
          errors, moved: picture() !== first, from: +at, to: +document.getElementById("place").value,
          points: document.getElementById("curves").data.map(t => [t.name, t.x.length]),
          drawn: document.querySelectorAll("#curves .scatterlayer .trace").length,
        });
        document.body.append(out);
      }, 700);
    }, 700);
    </script>"""
    text = page.read_text().replace("<head>", "<head>" + probe).replace("</body>", after + "</body>")
    (tmp_path / "probed.html").write_text(text)
    command = [
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=20000", "--dump-dom",
        f"file://{tmp_path / 'probed.html'}",
    ]  # fmt: skip
    dom = subprocess.run(command, capture_output=True, text=True, timeout=180).stdout
    found = json.loads(html.unescape(re.search(r'<pre id="probe">(.*?)</pre>', dom, re.DOTALL)[1]))
    assert found["errors"] == []
    assert found["moved"]
    assert found["to"] != found["from"]
    points = dict(found["points"])
    iterations = len(read_records(run_dir / "metrics.jsonl"))
    for name in ("reward in training", "cost in training", "limit", "samples", "angle", "mode"):
        assert points[name] == iterations
    assert points["cost, deterministic"] == 2
    assert found["drawn"] >= 6


def test_episode_in_the_page_is_the_recorded_one(page, seen):
    content = json.loads(re.search(r"const episode = (.*);\n", page.read_text())[1])
    geoms = len(content["radius"])
    assert all(len(frame) == 4 * geoms for frame in content["frames"])
    assert content["velocity"][1] == pytest.approx(0.0 + seen.speed[1 * stride(content, seen) - 1], abs=2e-3)
    assert content["seconds"][1] == pytest.approx(seen.dt * stride(content, seen))
    assert len(content["frames"]) == len(content["cost"]) <= 500


def stride(content, seen):
    return round(content["seconds"][1] / seen.dt)


def test_recorded_episode_is_that_of_the_environment(seen, run_dir):
    assert len(seen.q) == len(seen.reward) + 1 == len(seen.cost) + 1
    # Hopper's reward is its mean velocity.
    np.testing.assert_allclose(seen.reward, seen.speed, rtol=1e-5)
    np.testing.assert_allclose(np.diff(seen.q[:, 0]) / seen.dt, seen.speed, atol=1e-4)
    position, axis = seen.geom_poses()
    assert position.shape == axis.shape == (len(seen.q), seen.model.ngeom, 3)
    np.testing.assert_allclose(np.linalg.norm(axis, axis=-1), 1.0, rtol=1e-6)


def test_an_environment_without_model_has_no_episode(tmp_path):
    train(tmp_path / "run")
    report.write(tmp_path / "run", tmp_path / "report.html", env=PointEnv())
    assert "const episode = null;" in (tmp_path / "report.html").read_text()
    config, networks, params = policies.load(tmp_path / "run")
    with pytest.raises(ValueError, match="has no model to show"):
        episode.record(PointEnv(), networks, config, params)


def can_render():
    script = (
        "import mujoco; mujoco.Renderer(mujoco.MjModel.from_xml_string('<mujoco/>'), 8, 8).render(); print('works')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=render_environment())
    return "works" in done.stdout


def render_environment():
    return {**os.environ, "MUJOCO_GL": os.environ.get("MUJOCO_GL", "osmesa"), "JAX_PLATFORMS": "cpu"}


@pytest.mark.skipif(not can_render(), reason="needs an off-screen OpenGL")
@pytest.mark.parametrize("suffix", ["gif", "mp4"])
def test_film(run_dir, tmp_path, suffix):
    path = tmp_path / f"episode.{suffix}"
    flags = ["--output", str(path), "--steps", "40", "--width", "160", "--height", "120"]
    command = [sys.executable, "-m", "espo_jax.cli", "render", str(run_dir), *flags]
    done = subprocess.run(command, capture_output=True, text=True, env=render_environment())
    assert done.returncode == 0, done.stderr
    count = int(re.search(r": (\d+) frames of (\d+) steps", done.stdout)[1])
    if suffix == "gif":
        from PIL import Image, ImageSequence

        frames = [np.asarray(f.convert("RGB"), float) for f in ImageSequence.Iterator(Image.open(path))]
    else:
        import imageio_ffmpeg

        reader = imageio_ffmpeg.read_frames(str(path))
        size = next(reader)["size"]
        frames = [np.frombuffer(f, np.uint8).reshape(size[1], size[0], 3).astype(float) for f in reader]
    assert len(frames) == pytest.approx(count, abs=1)
    assert frames[0].shape == (120, 160, 3)
    assert frames[0].std() > 5, "something is seen"
    assert np.abs(frames[-1] - frames[0]).mean() > 1, "it moves"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output", "film.avi"], "its suffix must be one of .mp4, .gif"),
        (["--fps", "0"], "fps is 0: it must be a positive integer"),
        (["--width", "161"], "width and height are 161 and 480: they must be even for .mp4"),
        (["--steps", "0"], "steps is 0: it must be a positive integer"),
    ],
)
def test_bad_input(run_dir, flags, message, capsys):
    assert cli.main(["render", str(run_dir), *flags]) == 2
    assert message in capsys.readouterr().err
    assert RunConfig.read(run_dir).task == "safety_hopper"


def test_without_the_package_plotly(run_dir, monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    assert cli.main(["report", str(run_dir), "--output", str(tmp_path / "x.html")]) == 2
    assert 'pip install "espo_jax[report]"' in capsys.readouterr().err
