"""An environment, an algorithm and a sample-size rule of a folder outside, in every command."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from espo_jax import own_code
from espo_jax.cli import main
from tests import own_module
from tests.probe_envs import TINY

FLAGS = [
    word
    for name, value in {**TINY, "num_iterations": 2, "num_eval_episodes": 2}.items()
    for word in (f"--{name.replace('_', '-')}", *(str(v) for v in (value if isinstance(value, tuple) else (value,))))
]
TASK = "outside:make_env"


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """A folder of a user with a module in it, and a run that was trained there."""
    path = tmp_path_factory.mktemp("outside")
    shutil.copy(own_module.__file__, path / "outside.py")
    with pytest.MonkeyPatch.context() as patch:
        at_home(patch, path)
        assert main(["train", "--task", TASK, "--env", "limit=3", "--run-dir", "run", *FLAGS]) == 0
    return path


def at_home(patch, path):
    """In a new process of the user's folder, which has not imported the module."""
    patch.chdir(path)
    patch.setattr(sys, "path", list(sys.path))
    patch.setattr(own_code, "_allowed", set())
    patch.delitem(sys.modules, "outside", raising=False)


@pytest.fixture
def here(outside, monkeypatch):
    at_home(monkeypatch, outside)
    return outside


def error(capsys):
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_a_run_records_the_name_and_the_options_of_its_environment(here):
    config = json.loads(Path("run/config.json").read_text())
    assert (config["task"], config["env"]) == (TASK, ["limit=3"])
    assert config["hyperparams"]["cost_limit"] == 3


@pytest.mark.parametrize("command", [["eval", "run"], ["replay", "run"], ["train", "--resume", "run"]])
def test_a_run_directory_by_itself_runs_no_code(here, command, capsys):
    assert main(command) == 2
    assert "code of the module outside, which is not run before you allow it: give --allow-code outside" in error(
        capsys
    )
    assert "outside" not in sys.modules


def test_commands_that_read_no_environment_need_no_permission(here):
    assert main(["plot", "run", "--output", "plot.png"]) == 0
    assert main(["export", "run", "--formats", "stablehlo"]) == 0


@pytest.mark.parametrize(
    "command",
    [
        ["eval", "run", "--episodes", "2", "--allow-code", "outside"],
        ["--allow-code", "outside", "eval", "run", "--episodes", "2"],
        ["replay", "run", "--allow-code=outside"],
    ],
)
def test_with_permission_every_command_works(here, command):
    assert main(command) == 0


def test_a_run_goes_on_with_permission(here):
    shutil.copytree("run", "again")
    assert main(["train", "--resume", "again", "--num-iterations", "3", "--allow-code", "outside"]) == 0
    assert len(Path("again/metrics.jsonl").read_text().splitlines()) == 3


def test_an_algorithm_and_a_rule_of_ones_own_train_and_are_compared(here):
    own = ["--sample-size-rule", "outside:half", *FLAGS]
    assert main(["train", "--task", TASK, "--algorithm", "outside:OURS", "--run-dir", "own", *own]) == 0
    assert main(["eval", "own", "--episodes", "2", "--allow-code", "outside"]) == 0
    algorithms = ["--algorithms", "outside:OURS,trpo", "--seeds", "2"]
    assert main(["compare", "--task", TASK, "--run-dir", "compared", *algorithms, *FLAGS]) == 0
    assert Path("compared/outside.OURS-seed1/config.json").exists()


def test_a_sweep_has_environments_and_algorithms_of_ones_own(here):
    axes = ["--grid", "algorithm=outside:OURS,espo", "--grid", "cost_limit=1,4"]
    assert main(["sweep", "--task", TASK, "--sweep-dir", "sweep", *axes, *FLAGS]) == 0
    lanes = json.loads(Path("sweep/manifest.json").read_text())
    assert "outside:OURS" in json.dumps(lanes)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["train", "--task", "no_such:make"], "module no_such cannot be imported: ModuleNotFoundError"),
        (["train", "--task", "outside:made"], "outside.py has no made"),
        (["train", "--task", "outside:describe"], "missing a required argument: 'model', an option of the environment"),
        (["train", "--task", "outside:NOT_A_RULE"], "outside:NOT_A_RULE is int: it must be a function"),
        (["train", "--task", TASK, "--env", "lmit=3"], "has no option 'lmit'; its options: limit"),
        (["train", "--task", TASK, "--algorithm", "outside:NOT_A_RULE"], "it must be an UpdateRule"),
        (["train", "--sample-size-rule", "outside:NOT_A_RULE"], "must be a name or a function from Evidence"),
        (["eval", "run", "--allow-code", "no_such"], "module no_such cannot be imported"),
        (["eval", "run", "--allow-code"], "expected one argument"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(here, argv, message, capsys):
    assert main(argv) == 2
    assert message in error(capsys)
