"""The page of a run, in a headless browser where one is installed."""

import html.parser
import json
import re
import shutil
import subprocess

import pytest
import safety_envs

from espo_jax import cli
from espo_jax.results import episode, report
from espo_jax.runs import policies
from espo_jax.runs.files import DamagedError
from espo_jax.runs.records import read_metrics, readable
from tests.made_up import hopper
from tests.probe_envs import PointEnv
from tests.tiny_runs import copied, finished

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def run_dir():
    return hopper()


@pytest.fixture(scope="module")
def page(run_dir, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    assert cli.main(["report", str(run_dir), "--output", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def seen(run_dir):
    config, networks, params = policies.load(run_dir)
    return episode.record(safety_envs.make("safety_hopper", backend="mujoco"), networks, config, params, steps=40)


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
    iterations = len(readable(read_metrics(run_dir / "metrics.jsonl")))
    for name in ("reward in training", "cost in training", "limit", "samples", "angle"):
        assert points[name] == iterations
    assert points["mode"] == iterations + 1, "an iteration lies between two edges"
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


def test_an_environment_without_model_has_no_episode(tmp_path):
    report.write(finished(), tmp_path / "report.html", env=PointEnv())
    assert "const episode = null;" in (tmp_path / "report.html").read_text()


def test_safety_is_of_training_and_of_the_episodes_of_espo_eval(run_dir, tmp_path):
    path = copied(run_dir, tmp_path / "run")
    report.write(path, tmp_path / "before.html")
    before = (tmp_path / "before.html").read_text()
    assert "cumulative violation" in before
    assert f"stand here after: espo eval {path}" in before
    assert cli.main(["eval", str(path), "--episodes", "2"]) == 0
    report.write(path, tmp_path / "after.html")
    after = (tmp_path / "after.html").read_text()
    assert "<th>CVaR 0.1</th>" in after
    assert "<td>deterministic</td><td>mujoco</td><td>2</td>" in after
    (path / "eval-last.json").write_text('{"rows": [7]}')
    with pytest.raises(DamagedError, match="does not hold an evaluation"):
        report.write(path, tmp_path / "damaged.html")
    (path / "eval-last.json").write_text('{"rows": [{"policy": "stochastic"}]}')  # of an earlier version
    report.write(path, tmp_path / "earlier.html")
