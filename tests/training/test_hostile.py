"""Run directories that are damaged or made to harm: one clear error each, nothing lost, nothing run."""

import json
import os
import resource
import shutil
import zipfile

import numpy as np
import pytest

from espo_jax import commands, load_policy
from espo_jax.commands import training as training_commands
from espo_jax.flags import BadInputError
from espo_jax.training import files, report
from espo_jax.training.files import DamagedError
from espo_jax.training.run_config import RunConfig
from espo_jax.training.run_directory import read_evaluations, read_records

from .probe_envs import PointEnv
from .tiny_runs import copied, train

pytestmark = pytest.mark.usefixtures("quick_module")
MOST_MEMORY = 2**28  # bytes that reading may take beyond what is taken


@pytest.fixture(scope="module")
def intact(tmp_path_factory, quick_module):
    path = tmp_path_factory.mktemp("intact") / "run"
    assert train(path)[0]["status"] == "finished"
    return path


@pytest.fixture
def victim(intact, tmp_path):
    return copied(intact, tmp_path / "run")


def snapshot(path):
    """Contents of all regular files."""
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


def attempt(monkeypatch, path, env):
    """Where `espo train --resume` would go on; nothing is compiled."""
    jobs = []
    monkeypatch.setattr(training_commands, "execute", lambda job: jobs.append(job) or 0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    try:
        commands.resume(str(path), {}, env)
    finally:
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before < MOST_MEMORY
    jobs[0].directory.close()
    return jobs[0]


def text(name, content):
    return lambda path: (path / name).write_text(content)


def field(*place, value):
    """Changes a field of config.json; Ellipsis removes it."""

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


def cut(name, keep=0.5):
    def change(path):
        content = (path / name).read_bytes()
        (path / name).write_bytes(content[: int(len(content) * keep)])

    return change


def replaced_by_folder(path):
    (path / "config.json").unlink()
    (path / "config.json").mkdir()


CONFIG = {
    "missing": (lambda path: (path / "config.json").unlink(), "config.json cannot be read (No such file"),
    "a folder": (replaced_by_folder, "config.json cannot be read (Is a directory)"),
    "empty": (text("config.json", ""), "config.json is damaged: it is not valid JSON"),
    "truncated": (cut("config.json"), "config.json is damaged: it is not valid JSON"),
    "a list": (text("config.json", "[1]"), "config.json is damaged: it holds no JSON object"),
    "not text": (lambda path: (path / "config.json").write_bytes(b"\xff\xfe{}"), "config.json is damaged: it is not"),
    "nan": (text("config.json", '{"seed": NaN}'), "NaN is not JSON"),
    "nested": (text("config.json", "[" * 100_000), "config.json is damaged: it is not valid JSON"),
    "too long": (text("config.json", " " * (2**24 + 1)), "config.json is damaged: it is longer than 16777216 bytes"),
    "no seed": (field("seed", value=...), "config.json has no seed"),
    "seed of text": (field("seed", value="0"), "seed is '0', not an integer"),
    "seed true": (field("seed", value=True), "seed is True, not an integer"),
    "seed negative": (field("seed", value=-1), "seed is -1: it must lie in [0, 2^31)"),
    "task of numbers": (field("task", value=3), "task is 3, not text"),
    "episodes": (field("num_eval_episodes", value=-3), "num_eval_episodes is -3: it must lie in [0, 100000]"),
    "episodes by the terabyte": (
        field("num_eval_episodes", value=10**12),
        "num_eval_episodes is 1000000000000: it must",
    ),
    "minutes": (field("checkpoint_minutes", value=0), "checkpoint_minutes is 0: it must be more than 0"),
    "config a list": (field("config", value=[]), "config is [], not an object"),
    "config lacks": (field("config", "num_envs", value=...), "num_envs is missing"),
    "config has more": (field("config", "zzz", value=1), "zzz is not known here"),
    "envs of text": (field("config", "num_envs", value="four"), "num_envs is 'four': it must be a positive integer"),
    "no envs": (field("config", "num_envs", value=0), "num_envs is 0: it must be a positive integer"),
    "samples": (field("config", "base_sample_size", value=2**40), "base_sample_size is 1099511627776: it must be"),
    "other envs": (field("config", "num_envs", value=7), "num_envs is 7: checkpoint "),
    "envs by the million": (field("config", "num_envs", value=2**20), "base_sample_size is 64: it must be at least"),
    "networks of terabytes": (
        field("config", "policy_hidden_sizes", value=[10**6, 10**6]),
        "policy_hidden_sizes is [1000000, 1000000]: checkpoint",
    ),
    "networks of text": (field("config", "policy_hidden_sizes", value="abc"), "policy_hidden_sizes is 'abc': it must"),
    "switch of text": (
        field("config", "normalize_observations", value="no"),
        "normalize_observations is 'no': it must",
    ),
    "clip of text": (field("config", "observation_clip", value="5"), "observation_clip is '5': it must be a number"),
    "rule": (field("config", "sample_size_rule", value="magic"), "sample_size_rule is 'magic': it must be one of"),
    "discount null": (field("hyperparams", "discount", value=None), "discount is None, not a number"),
    "discount range": (field("hyperparams", "discount", value=2), "discount is 2: it must lie in [0, 1]"),
    "limits nested": (field("hyperparams", "cost_limit", value=[[4]]), "cost_limit is [[4]], not a number"),
    "limits several": (field("hyperparams", "cost_limit", value=[4, 5]), "cost_limit has 2 values: the environment"),
    "endless": (field("hyperparams", "num_iterations", value="inf"), "config.json cannot be used: cannot convert"),
    "iterations several": (field("hyperparams", "num_iterations", value=[4, 5]), "num_iterations is [4, 5], not a num"),
    "iterations past": (
        field("hyperparams", "num_iterations", value=3),
        "num_iterations is 3: the run is at iteration 4",
    ),
    "another limit": (field("hyperparams", "cost_limit", value=5.0), "cost_limit is 5.0: checkpoint"),
    "another seed": (field("seed", value=3), "seed is 3: checkpoint"),
    "another algorithm": (field("algorithm", value="crpo"), "algorithm is 'crpo': checkpoint"),
    "algorithm a path": (field("algorithm", value="../../evil"), "unknown algorithm '../../evil'; known algorithms"),
}


@pytest.mark.parametrize("case", CONFIG)
def test_config(case, victim, monkeypatch):
    damage, message = CONFIG[case]
    damage(victim)
    before = snapshot(victim)
    with pytest.raises(BadInputError) as refused:
        attempt(monkeypatch, victim, PointEnv())
    assert message in str(refused.value)
    assert snapshot(victim) == before


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("task", "__import__('os')", "unknown task"),
        ("backend", "magic", "unknown backend 'magic'"),
        ("reward", "x", "unknown reward"),
    ],
)
def test_names_of_tasks_are_looked_up_and_not_run(victim, monkeypatch, name, value, message):
    field("task", value="safety_reacher")(victim)
    field("backend", value="spring")(victim)
    field("reward", value="task")(victim)
    field(name, value=value)(victim)
    with pytest.raises(BadInputError, match=message):
        attempt(monkeypatch, victim, None)


def in_array(change, step=4, name="float32"):
    """Changes the only data file of an array of a checkpoint."""

    def damage(path):
        folder = path / "checkpoints" / str(step) / "state" / name
        file = next(entry for entry in folder.iterdir() if entry.name != ".zarray")
        change(file)

    return damage


def rewritten(change):
    def damage(file):
        content = bytearray(file.read_bytes())
        file.write_bytes(bytes(change(content)))

    return damage


def flipped(content):
    content[len(content) // 2] ^= 16
    return content


def claim(name, value):
    """Changes what a checkpoint says of an array."""

    def damage(path):
        file = path / "checkpoints" / "4" / "state" / "float32" / ".zarray"
        file.write_text(json.dumps({**json.loads(file.read_text()), name: value}))

    return damage


def about(name, value):
    """Changes what a checkpoint says of itself."""

    def damage(path):
        file = path / "checkpoints" / "4" / "about" / "metadata"
        file.write_text(json.dumps({**json.loads(file.read_text()), name: value}))

    return damage


def swapped(path):
    folder = path / "checkpoints"
    (folder / "4").rename(folder / "aside")
    (folder / "2").rename(folder / "4")
    (folder / "aside").rename(folder / "2")


def copied_to(name):
    return lambda path: shutil.copytree(path / "checkpoints" / "4", path / "checkpoints" / name)


def without(name):
    return lambda path: shutil.rmtree(path / "checkpoints" / "4" / name)


CHECKPOINTS = {
    "truncated": (in_array(rewritten(lambda content: content[:-4])), "float32 has files of"),
    "extended": (in_array(rewritten(lambda content: content + b"more")), "float32 has files of"),
    "bit flipped": (in_array(rewritten(flipped)), "its content is not what was saved"),
    "a key flipped": (in_array(rewritten(flipped), name="uint32"), "its content is not what was saved"),
    "empty file": (in_array(rewritten(lambda content: b"")), "float32 has files of [0] bytes"),
    "terabytes claimed": (claim("shape", [10**12]), "shape of float32 is [1000000000000], not"),
    "large chunks": (claim("chunks", [10**12]), "chunks of float32 is [1000000000000], not"),
    "compressed": (claim("compressor", {"id": "zstd"}), "compressor of float32 is {'id': 'zstd'}, not None"),
    "objects": (claim("dtype", "|O"), "dtype of float32 is |O, not <f4"),
    "no array": (without("state/float32"), "float32/.zarray cannot be read"),
    "no state": (without("state"), "cannot be read"),
    "no about": (without("about"), "about/metadata cannot be read"),
    "about truncated": (cut("checkpoints/4/about/metadata"), "metadata is damaged"),
    "about of nothing": (about("versions", 3), "it does not say with what it was written"),
    "tree unreadable": (text("checkpoints/4/state/_METADATA", "{"), "orbax cannot read it"),
    "tree of paths": (
        text("checkpoints/4/state/_METADATA", '{"tree_metadata": {"(\'../../../x\',)": {}}}'),
        "orbax cannot read it",
    ),
    "digest": (about("digest", "0"), "its content is not what was saved"),
    "iteration": (about("iteration", 3), "its content is not what was saved"),
    "best": (about("best_safe", {"iteration": "x", "reward": 1}), "best_safe is {'iteration': 'x'"),
    "swapped": (swapped, "its content is not what was saved"),
    "a name that is no number": (copied_to("007"), ""),
    "a name without end": (copied_to("9" * 200), ""),
    "from the future": (copied_to("99"), "checkpoint 99 is passed over (metrics.jsonl ends at iteration 4)"),
}


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_checkpoint_that_cannot_be_used_is_passed_over(case, victim, monkeypatch):
    damage, message = CHECKPOINTS[case]
    damage(victim)
    before = snapshot(victim)
    if case == "swapped":  # the other one is not what it says either
        with pytest.raises(BadInputError, match=r"no checkpoint in .* can be used"):
            attempt(monkeypatch, victim, PointEnv())
    else:
        job = attempt(monkeypatch, victim, PointEnv())
        harmless = case in ("from the future", "a name that is no number", "a name without end")
        assert job.restored.iteration == (4 if harmless else 2)
        assert message in "".join(job.restored.notes)
        assert np.isfinite(job.restored.state.policy).all()
    contents = [sorted(c for name, c in files.items() if "/state/" in name) for files in (before, snapshot(victim))]
    assert contents[0] == contents[1], "nothing is thrown away"


def test_another_format_names_itself(victim, monkeypatch):
    about("format", 99)(victim)
    with pytest.raises(BadInputError, match="has format 99: this version reads 2"):
        attempt(monkeypatch, victim, PointEnv())


def test_metrics_without_a_checkpoint_are_not_begun_again(victim, monkeypatch):
    """As in a seed of `espo compare`, or where somebody made room on the disk."""
    shutil.rmtree(victim / "checkpoints")
    before = snapshot(victim)
    with pytest.raises(BadInputError, match=r"has 4 iterations in metrics\.jsonl and no checkpoint to go on from"):
        attempt(monkeypatch, victim, PointEnv())
    assert snapshot(victim) == before


def test_half_written_checkpoint_is_ignored(victim, monkeypatch):
    shutil.copytree(victim / "checkpoints" / "4", victim / "checkpoints" / "5.orbax-checkpoint-tmp")
    assert attempt(monkeypatch, victim, PointEnv()).restored.iteration == 4


def test_another_version_is_said(victim, monkeypatch):
    file = victim / "checkpoints" / "4" / "about" / "metadata"
    content = json.loads(file.read_text())
    content["versions"]["jax"] = "0.1"
    file.write_text(json.dumps(content))
    assert "written with jax 0.1, this is" in attempt(monkeypatch, victim, PointEnv()).restored.notes[0]


METRICS = {
    "truncated": (cut("metrics.jsonl", keep=0.9), 2),
    "one line": (lambda path: (path / "metrics.jsonl").write_text('{"iteration": 1}\n'), None),
    "garbage": (lambda path: (path / "metrics.jsonl").write_bytes(os.urandom(5000)), None),
    "endless line": (lambda path: (path / "metrics.jsonl").write_bytes(b"{" * (2**21)), None),
}


@pytest.mark.parametrize("case", METRICS)
def test_metrics_that_do_not_reach_the_checkpoint(case, victim, monkeypatch):
    damage, iteration = METRICS[case]
    damage(victim)
    if iteration is None:
        with pytest.raises(BadInputError, match=r"metrics\.jsonl ends at iteration 0"):
            attempt(monkeypatch, victim, PointEnv())
    else:
        assert attempt(monkeypatch, victim, PointEnv()).restored.iteration == iteration
        assert len(read_records(victim / "metrics.jsonl")) == iteration


def test_missing_metrics_are_one_error(victim, monkeypatch):
    (victim / "metrics.jsonl").unlink()
    with pytest.raises(BadInputError, match=r"cannot write to run directory .*\(No such file"):
        attempt(monkeypatch, victim, PointEnv())


def test_folder_that_cannot_be_written_to(victim, monkeypatch):
    """A file where the folder of checkpoints should be; root may write to what is read-only."""
    shutil.rmtree(victim / "checkpoints")
    (victim / "checkpoints").write_text("")
    (victim / "metrics.jsonl").write_text("")
    job = attempt(monkeypatch, victim, PointEnv())
    with pytest.raises(OSError, match=r"cannot write .*checkpoints: .*File exists"):
        job.checkpoints()


@pytest.mark.parametrize(
    "name",
    [
        "metrics.jsonl",
        "evaluations.jsonl",
        "checkpoints",
        "checkpoints/4",
        "checkpoints/4/about",
        "checkpoints/4/state/float32/0",
        "tensorboard",
    ],
)
def test_links_that_leave_the_folder_are_refused(name, victim, tmp_path, monkeypatch):
    outside = tmp_path / "outside"
    entry = victim / name
    if entry.exists():
        entry.rename(outside)
    else:
        outside.mkdir()
    entry.symlink_to(outside)
    before = snapshot(tmp_path)
    with pytest.raises(BadInputError, match="is a link: a run directory has none"):
        attempt(monkeypatch, victim, PointEnv())
    assert snapshot(tmp_path) == before


def test_what_is_written_never_follows_a_link(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("x")
    for name in ("file", ".file.part"):
        (tmp_path / name).symlink_to(precious)
    files.write(tmp_path / "file", b"new")
    assert precious.read_text() == "x"
    assert (tmp_path / "file").read_bytes() == b"new"
    assert not (tmp_path / "file").is_symlink()


def line(number, name, value, file="metrics.jsonl"):
    """Changes a field of a line of metrics.jsonl."""

    def damage(path):
        lines = (path / file).read_text().splitlines()
        lines[number] = json.dumps({**json.loads(lines[number]), name: value})
        (path / file).write_text("\n".join(lines) + "\n")

    return damage


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mode", "zzz"), ("mode", 0), ("env_steps", "16"), ("env_steps", None), ("env_steps", [1, 2]), ("kl", True),
        ("episode_cost", {}), ("episode_cost", "inf"), ("episode_cost", [1.0, 2.0]), ("cost_limit", None),
        ("mode_counts", {"reward": 1}), ("sample_size", 10**400), ("steps_per_second", 0),
    ],
)  # fmt: skip
def test_lines_that_are_no_records_end_the_reading_and_touch_nothing(name, value, victim, monkeypatch):
    line(2, name, value)(victim)
    assert len(read_records(victim / "metrics.jsonl")) == 2
    job = attempt(monkeypatch, victim, PointEnv())
    assert job.restored.iteration == 2
    assert job.restored.notes[0].startswith(
        "checkpoint 4 is passed over (metrics.jsonl ends at iteration 2); it is kept"
    )


def test_metrics_damaged_at_their_beginning_leave_the_checkpoints_where_they_are(victim, monkeypatch):
    intact = (victim / "metrics.jsonl").read_bytes()
    (victim / "metrics.jsonl").write_bytes(b"x" + intact[1:])
    before = snapshot(victim)
    with pytest.raises(BadInputError, match=r"no checkpoint in .* can be used: .*metrics\.jsonl ends at iteration 0"):
        attempt(monkeypatch, victim, PointEnv())
    assert snapshot(victim) == before
    shutil.move(victim / "checkpoints", victim / "elsewhere")  # nor is it begun again over what is there
    with pytest.raises(BadInputError, match=r"no checkpoint to go on from"):
        attempt(monkeypatch, victim, PointEnv())
    shutil.move(victim / "elsewhere", victim / "checkpoints")
    (victim / "metrics.jsonl").write_bytes(intact)
    assert attempt(monkeypatch, victim, PointEnv()).restored.iteration == 4


@pytest.mark.parametrize(
    ("name", "value"), [("iteration", "abc"), ("env_steps", None), ("reward", [1.0]), ("cost", {})]
)
def test_lines_that_are_no_evaluations_end_the_reading(name, value, victim, monkeypatch):
    line(1, name, value, "evaluations.jsonl")(victim)
    assert [e["iteration"] for e in read_evaluations(victim / "evaluations.jsonl")] == [2]
    attempt(monkeypatch, victim, PointEnv())


@pytest.mark.parametrize(
    "content",
    [
        {"evaluation": {"deterministic": {"episodes": 3}}}, {"evaluation": {"deterministic": "x"}}, {"best_safe": {}},
        {"seconds": "inf"}, {"evaluation": {"deterministic": []}},
    ],
)  # fmt: skip
def test_report_of_a_result_that_is_none_is_one_error(content, victim):
    pytest.importorskip("plotly")
    (victim / "result.json").write_text(json.dumps(content))
    with pytest.raises(DamagedError, match=r"result\.json does not hold the result of a run"):
        report.write(victim, victim / "report.html", env=PointEnv())
    assert not (victim / "report.html").exists()


def arrays(change):
    def damage(path):
        with np.load(path / "policy.npz") as content:
            values = dict(content)
        change(values)
        np.savez(path / "policy.npz", **values)

    return damage


def put(name, value):
    return arrays(lambda values: values.__setitem__(name, value))


class Evil:
    def __reduce__(self):
        return os.abort, ()


def header(shape):
    """An npz whose only array claims a shape that is not there."""

    def damage(path):
        content = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
        content += f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
        with zipfile.ZipFile(path / "policy.npz", "w") as archive:
            archive.writestr("policy/params/log_std.npy", content + b"1234")

    return damage


def bomb(path):
    with zipfile.ZipFile(path / "policy.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("normalizer/mean.npy", bytes(2**28))


POLICIES = {
    "missing": (lambda path: (path / "policy.npz").unlink(), "No such file"),
    "empty": (text("policy.npz", ""), "not a zip file"),
    "truncated": (cut("policy.npz"), "not a zip file"),
    "bit flipped": (lambda path: rewritten(flipped)(path / "policy.npz"), "policy.npz"),
    "pickle": (put("policy/params/log_std", np.array([Evil()], object)), "an array of object is not one of numbers"),
    "text": (put("policy/params/log_std", np.array(["x"])), "is not one of numbers"),
    "terabytes claimed": (header("(1000000000000,)"), "an array claims shape (1000000000000,) with 1 numbers"),
    "negative shape": (header("(-1,)"), "an array claims shape (-1,)"),
    "code in a header": (header("__import__('os').abort()"), "malformed node or string"),
    "bomb": (bomb, "it claims 268435456 bytes of arrays in"),
    "lacks": (
        arrays(lambda values: values.pop("policy/params/log_std")),
        "do not describe a policy: 'policy/params/log",
    ),
    "lacks a layer": (arrays(lambda values: values.pop("policy/params/MLP_0/Dense_0/bias")), "lacks array policy"),
    "path": (put("../../../evil", np.ones(2)), "has an unknown array ../../../evil"),
    "wrong shape": (put("policy/params/MLP_0/Dense_0/bias", np.ones(3, np.float32)), "is float32[3], not float32[8]"),
    "wrong type": (put("policy/params/MLP_0/Dense_0/bias", np.ones(8)), "is float64[8], not float32[8]"),
    "nan": (put("policy/params/log_std", np.float32([np.nan])), "policy/params/log_std holds nan or infinity"),
    "networks of terabytes": (field("config", "policy_hidden_sizes", value=[10**6, 10**6]), "not float32[1000000"),
    "no config": (CONFIG["missing"][0], "config.json cannot be read"),
}


@pytest.mark.parametrize("case", POLICIES)
def test_policy(case, victim):
    damage, message = POLICIES[case]
    damage(victim)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the message is checked below
        load_policy(victim)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before < MOST_MEMORY
    assert not isinstance(refused.value, UnicodeError)


def test_intact_policy_acts_as_trained(intact):
    action, _ = load_policy(intact, deterministic=True)(np.zeros((5, 1), np.float32))
    assert action.shape == (5, 1)
    with pytest.raises(ValueError, match="a stochastic policy needs one"):
        load_policy(intact)(np.zeros((5, 1), np.float32))
    assert RunConfig.read(intact).algorithm == "espo"
