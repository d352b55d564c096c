"""Going on: the same numbers to the bit wherever the run stopped, and a folder that is put right first."""

import json

import pytest

from tests.tiny_runs import copied, finished, go_on, prepared, resumed, train


@pytest.fixture
def alone():
    """A run that was left alone: 6 iterations."""
    return finished(num_iterations=6)


def test_a_longer_run_goes_on_where_a_shorter_one_ended(alone, tmp_path, same_run):
    """Each of the two compiles its own program."""
    train(tmp_path / "run", settings={"num_iterations": 3})
    result, console = go_on(tmp_path / "run", num_iterations=6)
    assert result["status"] == "finished"
    assert "going on after iteration 3" in console.lines[0]
    same_run(tmp_path / "run", alone)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["hyperparams"]["num_iterations"] == 6
    assert config["resumed"][0]["iteration"] == 3
    assert "jax" in config["resumed"][0]["versions"]


@pytest.mark.usefixtures("shared_programs")
def test_lines_after_the_checkpoint_come_again(alone, tmp_path, same_run):
    """As after kill -9: the last checkpoint is older than metrics.jsonl, whose last line is half written."""
    path = copied(alone, tmp_path / "run")
    (path / "checkpoints" / "6").rename(tmp_path / "away")
    (path / "result.json").unlink()
    with (path / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 7, "env_st')
    go_on(path)
    same_run(path, alone)


@pytest.mark.usefixtures("shared_programs")
def test_a_run_killed_before_its_first_checkpoint_begins_again(alone, tmp_path, same_run):
    prepared(tmp_path / "run", settings={"num_iterations": 6}).directory.close()
    result, console = go_on(tmp_path / "run")
    assert result["status"] == "finished"
    assert "going on" not in console.lines[0]
    same_run(tmp_path / "run", alone)


@pytest.mark.usefixtures("shared_programs")
@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_used(alone, tmp_path, damage, same_run):
    path = copied(alone, tmp_path / "run")
    victim = next(iter(sorted((path / "checkpoints" / "6" / "state" / "float32").glob("[0-9]*"))))
    content = bytearray(victim.read_bytes())
    content[5] ^= 1
    victim.write_bytes(content if damage == "flipped" else content[:-4])
    result, console = go_on(path)
    note = next(line for line in console.lines if line.startswith("note: checkpoint 6 is passed over"))
    assert ("bytes, not " if damage == "truncated" else "its content is not what was saved") in note
    assert "going on after iteration 4" in console.lines[0]
    assert result["status"] == "finished"
    assert len(list((path / "checkpoints").glob("damaged-6-*"))) == 1, "nothing is thrown away"
    same_run(path, alone)


@pytest.mark.usefixtures("shared_programs")
def test_what_a_later_iteration_left_behind_is_put_right(tmp_path):
    """The policy of the best safe checkpoint is that one's, and the result of another end is gone."""
    path = tmp_path / "run"
    result, _ = train(path, settings={"cost_limit": 1e6})
    best = result["best_safe"]["iteration"]
    wanted = (path / "policy_best_safe.npz").read_bytes()
    (path / "policy_best_safe.npz").write_bytes((path / "policy.npz").read_bytes()[:-1])
    run = resumed(path)
    run.directory.close()
    assert run.restored.best.iteration == best
    assert (path / "policy_best_safe.npz").read_bytes() == wanted
    assert not (path / "result.json").exists()


@pytest.mark.usefixtures("shared_programs")
def test_no_best_policy_where_no_checkpoint_was_safe(tmp_path):
    path = tmp_path / "run"
    train(path, settings={"cost_limit": 1e-6})
    (path / "policy_best_safe.npz").write_bytes(b"of a future that did not come")
    resumed(path).directory.close()
    assert not (path / "policy_best_safe.npz").exists()


def test_a_run_that_is_going_on_is_not_taken_up(tmp_path):
    going = prepared(tmp_path / "run")
    with pytest.raises(OSError, match="is in use by another process"):
        resumed(tmp_path / "run")
    going.directory.close()
