"""The page of a run, in a headless browser where one is installed."""

import dataclasses
import html.parser
import json
import re
import shutil
import subprocess

import pytest
import safety_envs

from espo_jax import cli
from espo_jax.results import episode, report
from espo_jax.results.read import read_run
from espo_jax.results.report_figure import figure
from espo_jax.results.report_player import played_episode
from espo_jax.runs import policies
from espo_jax.runs.colors import COST_COLORS
from espo_jax.runs.files import DamagedError
from espo_jax.runs.records import read_metrics, readable
from tests.made_up import hopper
from tests.probe_envs import PointEnv
from tests.tiny_runs import copied, finished

PER_COST = ("episode_cost", "cost_limit", "slack_positive", "slack_negative")
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
    const at = () => +document.getElementById("place").value, speed = document.getElementById("speed");
    setTimeout(() => {
      const first = picture(), from = at();
      setTimeout(() => {
        const moved = picture() !== first, to = at();
        speed.value = "0.1";
        setTimeout(() => {
          const out = document.createElement("pre");
          out.id = "probe";
          out.textContent = JSON.stringify({
            errors, moved, from, to, slow: at() - to,
            sideways: document.documentElement.scrollWidth - innerWidth,
            points: document.getElementById("curves").data.map(t => [t.name, t.x.length]),
            drawn: document.querySelectorAll("#curves .scatterlayer .trace").length,
          });
          document.body.append(out);
        }, 700);
      }, 700);
    }, 700);
    </script>"""
    text = page.read_text().replace("<head>", "<head>" + probe).replace("</body>", after + "</body>")
    (tmp_path / "probed.html").write_text(text)
    command = [
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={tmp_path / 'profile'}", "--window-size=500,800", "--virtual-time-budget=20000", "--dump-dom",
        f"file://{tmp_path / 'probed.html'}",
    ]  # fmt: skip
    dom = subprocess.run(command, capture_output=True, text=True, timeout=180).stdout
    found = json.loads(html.unescape(re.search(r'<pre id="probe">(.*?)</pre>', dom, re.DOTALL)[1]))
    assert found["errors"] == []
    assert found["moved"]
    assert found["to"] != found["from"]
    points = dict(found["points"])
    iterations = len(readable(read_metrics(run_dir / "metrics.jsonl")))
    for name in ("in training", "limit 40", "of an iteration", "of reward and cost steps"):
        assert points[name] == iterations, name
    for name in ("new from old policy", "old policy", "of the reward"):  # KL, entropy, critic loss
        assert points[name] == iterations, name
    assert points["mode"] == iterations + 1  # edges
    assert points["deterministic"] == 2
    assert found["drawn"] >= 8
    assert found["sideways"] <= 0, "a narrow screen is not scrolled sideways"
    assert 0 < 3 * found["slow"] < found["to"] - found["from"], "the speed can be chosen"


@pytest.mark.parametrize(
    ("training", "cost", "verdict"),
    [
        (1.0, 2.0, 'class="verdict met">✓ Cost limit 2: met'),
        (1.0, 2.1, 'class="verdict unmet">✗ Cost limit 2: met only by in training'),
        ([3.0, 1.0], 9.0, 'class="verdict unmet">✗ Cost limit 2: not met'),
    ],
)
def test_the_top_says_whether_the_limit_is_met(run_dir, training, cost, verdict):
    run = read_run(run_dir)
    last = {**run.records[-1], "episode_cost": training, "cost_limit": 2.0}
    evaluation = {"episodes": 3, "reward": 1.0, "reward_std": 0.0, "cost": cost, "cost_std": 0.0}
    summary = report._summary(dataclasses.replace(run, records=[last]), {"evaluation": {"deterministic": evaluation}})
    assert verdict in summary
    assert summary.index("verdict") < summary.index("<table>")


def test_multipliers_of_several_costs_have_a_panel_in_the_colours_of_the_other_pictures(run_dir):
    records = [
        {**line, "multiplier": [0.5, 1.0], "critic_loss": [1.0, 2.0, 3.0]} | {name: [1.0, 2.0] for name in PER_COST}
        for line in read_run(run_dir).records
    ]
    drawn = figure(records, [], base_sample_size=100, color="#123456")
    assert "multiplier" in drawn
    assert all(color in drawn for color in COST_COLORS[:2])
    assert "multiplier" not in figure(
        read_run(run_dir).records, [], base_sample_size=100, color="#123456"
    )  # of ESPO, which has none
    old = [{k: v for k, v in line.items() if k not in ("kl", "critic_loss", "multiplier")} for line in records]
    assert "KL, nats" not in figure(
        old, [], base_sample_size=100, color="#123456"
    )  # of a version that did not write it


def test_a_long_episode_is_shown_in_part(run_dir):
    content = played_episode(read_run(run_dir), run_dir, seed=0, best_safe=False, seconds=0.1)
    assert content["seconds"][-1] == pytest.approx(0.1, abs=0.01)
    assert content["whole"] is None or content["whole"] > 0.1
    assert content["limit"] == [40.0]


def test_episode_in_the_page_is_the_recorded_one(page, seen):
    content = json.loads(re.search(r"const episode = (.*);\n", page.read_text())[1])
    geoms = len(content["radius"])
    assert all(len(frame) == 4 * geoms for frame in content["frames"])
    assert content["velocity"][1] == pytest.approx(0.0 + seen.speed[1 * stride(content, seen) - 1], abs=2e-3)
    assert content["seconds"][1] == pytest.approx(seen.dt * stride(content, seen))
    assert len(content["frames"]) == len(content["cost"]) <= 600


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
