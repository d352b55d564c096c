"""A sweep from its manifest to its tables, undisturbed and disturbed."""

import json
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from espo_jax.runs.place import BusyError
from espo_jax.runs.signals import Interrupted, Stop
from espo_jax.sweeps import axes, columns, sweep
from espo_jax.sweeps.folder import SweepFolder
from espo_jax.sweeps.progress import Report
from espo_jax.sweeps.run import run
from espo_jax.sweeps.sweep import Worker
from tests.probe_envs import TINY
from tests.tiny_runs import DATA, Quiet, measured, train
from tests.tiny_sweeps import LIMITS, lanes, limits, make_env, rows, swept, work


class Signal(Stop):
    """A signal that comes after so many checks."""

    def __init__(self, after):
        self._left = after

    def check(self):
        self._left -= 1
        if self._left < 0:
            raise Interrupted(signal.SIGTERM)


def test_every_lane_has_a_row(tmp_path):
    folder = swept()
    found = folder.rows()
    assert [row["cost_limit"] for row in found] == [1.0, 1.0, 4.0, 4.0]
    assert [row["seed"] for row in found] == [0, 1, 0, 1]
    assert {row["status"] for row in found} == {"finished"}
    assert {row["iterations"] for row in found} == {4}
    assert {row["mean_over"] for row in found} == {2}
    assert all(row["env_steps"] == row["fixed_env_steps"] == 4 * 64 for row in found)
    assert all(row["seconds"] > 0 for row in found)
    assert columns.read([folder.path / "lanes.parquet"]).to_pylist() == found
    metrics = columns.read(sorted((folder.path / "metrics").iterdir()))
    assert metrics.num_rows == 16
    last = metrics.filter(columns.pa.compute.equal(metrics["lane"], found[0]["lane"])).sort_by("iteration")
    assert found[0]["reward"] == pytest.approx(np.mean(last["episode_reward"].to_pylist()[-2:]))


def test_a_lane_is_the_run_of_its_settings_and_seed(tmp_path):
    folder = swept()
    lane = folder.manifest.lanes[1]
    settings = {"cost_limit": 1.0}
    result, _ = train(tmp_path / "run", algorithm="trpo", preset="none", seed=1, settings=settings, eval_interval=0)
    alone, of_lane = measured(tmp_path / "run"), folder.read_metrics(folder.manifest.groups[0], lane=lane.id)
    records = columns.records_of(of_lane.sort_by("iteration"), 1)
    assert [{k: v for k, v in line.items() if k != "steps_per_second"} for line in records] == alone
    row = folder.rows()[1]
    for policy in ("stochastic", "deterministic"):
        for name in ("reward", "reward_std", "cost", "length"):
            assert row[f"{policy}_{name}"] == pytest.approx(result["evaluation"][policy][name], rel=1e-5)


@pytest.mark.parametrize("turns", [0, 1, 3, 5, 6])  # 5: between the last iteration and the evaluation
def test_an_interrupted_sweep_goes_on_to_the_same_table(turns, tmp_path):
    folder = SweepFolder.plan(tmp_path / "sweep", limits(), lanes_per_group=3)
    with pytest.raises(Interrupted):
        work(folder, Signal(turns))
    before = {row["status"] for row in folder.rows()}
    assert before <= {"planned", "running", "finished"} != before
    assert all(row["stochastic_reward"] is not None for row in folder.rows() if row["status"] == "finished")
    work(SweepFolder.open(folder.path))
    assert rows(folder) == rows(swept())


def test_metrics_behind_the_newest_checkpoint_are_written_again(tmp_path):
    """As after kill -9 between a part and its checkpoint."""
    folder = SweepFolder.plan(tmp_path / "sweep", limits(), lanes_per_group=4)
    with pytest.raises(Interrupted):
        work(folder, Signal(3))
    [part] = (folder.path / "metrics").iterdir()
    shutil.copy(part, part.with_name(part.name.replace("00000", "00001")))
    work(folder)
    assert folder.read_metrics(folder.manifest.groups[0]).num_rows == 16
    assert rows(folder) == rows(swept())


def test_what_is_done_is_not_done_again(tmp_path):
    shutil.copytree(swept().path, tmp_path / "sweep")
    assert work(SweepFolder.open(tmp_path / "sweep")) == []
    wider = SweepFolder.plan(tmp_path / "sweep", limits(1.0, 4.0, 8.0), lanes_per_group=3)
    assert {line.partition(" ")[0] for line in work(wider) if "| iteration" in line} == {"group-0002"}
    assert rows(wider)[:4] == [{**row, "cost_limit": row["cost_limit"]} for row in rows(swept())]
    assert [row["status"] for row in wider.rows()] == ["finished"] * 6


def test_a_longer_sweep_goes_on(tmp_path):
    shutil.copytree(swept().path, tmp_path / "sweep")
    longer = SweepFolder.plan(
        tmp_path / "sweep", lanes(*axes.grid(cost_limit=[1.0, 4.0]), settings={"num_iterations": 6}), 3
    )
    work(longer)
    assert {(row["status"], row["iterations"], row["mean_over"]) for row in longer.rows()} == {("finished", 6, 3)}
    direct = SweepFolder.plan(
        tmp_path / "direct", lanes(*axes.grid(cost_limit=[1.0, 4.0]), settings={"num_iterations": 6}), 3
    )
    work(direct)
    assert rows(direct) == rows(longer)


def test_lanes_of_a_group_have_budgets_of_their_own(tmp_path):
    shutil.copytree(swept().path, tmp_path / "sweep")
    longer = lanes(*axes.grid(cost_limit=[4.0]), settings={"num_iterations": 6})
    folder = SweepFolder.plan(tmp_path / "sweep", [*limits(1.0), *longer], 3)
    work(folder)
    found = [(row["cost_limit"], row["status"], row["iterations"]) for row in folder.rows()]
    assert found == [(1.0, "finished", 4)] * 2 + [(4.0, "finished", 6)] * 2
    again = SweepFolder.plan(tmp_path / "sweep", [*limits(1.0), *longer], 3)
    assert work(again) == []
    assert rows(again)[:2] == rows(swept())[:2]


def test_more_episodes_of_evaluation_are_made_up_for(tmp_path):
    shutil.copytree(swept().path, tmp_path / "sweep")
    wider = lanes(*axes.grid(cost_limit=[1.0, 4.0]), num_eval_episodes=4)
    work(SweepFolder.plan(tmp_path / "sweep", wider, 3))
    after = SweepFolder.open(tmp_path / "sweep").rows()
    assert {(row["status"], row["iterations"], row["eval_episodes"]) for row in after} == {("finished", 4, 4)}
    fewer = lanes(*axes.grid(cost_limit=[1.0, 4.0]), num_eval_episodes=0)
    assert work(SweepFolder.plan(tmp_path / "sweep", fewer, 3)) == []
    assert SweepFolder.open(tmp_path / "sweep").rows() == after


def test_a_crash_before_the_table_of_all_lanes_is_made_up_for(tmp_path):
    shutil.copytree(swept().path, tmp_path / "sweep")
    folder = SweepFolder.open(tmp_path / "sweep")
    (folder.path / "lanes.parquet").unlink()
    assert work(folder) == []
    assert columns.read([folder.path / "lanes.parquet"]).to_pylist() == folder.rows()
    assert folder.is_current


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"pack_size": -1}, "pack_size is -1: it must be an integer"),
        ({"lanes_per_group": 0}, "lanes_per_group is 0: it must be an integer"),
        ({"seed": 7}, "seed is given: a sweep has no such setting"),
        ({"devices": 8}, "devices is given: a sweep has no such setting"),
    ],
)
def test_one_call_refuses_what_is_not_of_a_sweep(bad, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        run(axes.grid(cost_limit=[1.0]), [0], tmp_path / "sweep", make_env=make_env, task="point", **bad)
    assert not (tmp_path / "sweep").exists()


def test_a_lane_with_nan_stops_alone_and_is_named(tmp_path):
    found = lanes(*axes.grid(critic_l2=[1e-3, 3e38]), seeds=[0])
    folder = SweepFolder.plan(tmp_path / "sweep", found, lanes_per_group=8)
    printed = work(folder)
    good, bad = folder.rows()
    assert (good["status"], good["iterations"], good["message"]) == ("finished", 4, None)
    assert (bad["status"], bad["iterations"]) == ("nonfinite", 0)
    assert bad["message"].startswith("iteration 1: nan or infinity in critic loss")
    assert bad["stochastic_reward"] is None
    assert any(line.startswith(f"lane {bad['lane']} (critic_l2 3e+38, seed 0) stops: iteration 1") for line in printed)
    assert work(folder) == []  # it is not tried again


def test_a_crash_does_not_lose_why_a_lane_stopped(tmp_path):
    """As after kill -9 between a checkpoint and the rows."""
    folder = SweepFolder.plan(tmp_path / "sweep", lanes(*axes.grid(critic_l2=[1e-3, 3e38]), seeds=[0]), 8)
    with pytest.raises(Interrupted):
        work(folder, Signal(3))
    (folder.group_path(folder.manifest.groups[0]) / "lanes.parquet").unlink()
    work(folder)
    assert folder.rows()[1]["message"].startswith("iteration 1: nan or infinity in critic loss")


def test_a_sweep_of_an_earlier_version_goes_on(tmp_path):
    """Its lanes keep their names, which were other hashes, and why a lane stopped was kept without details."""
    shutil.copytree(DATA / "sweep_1", tmp_path / "sweep")
    before = SweepFolder.open(tmp_path / "sweep").rows()
    assert [row["status"] for row in before] == ["finished", "finished", "running", "nonfinite"]
    asked = lanes(*axes.grid(cost_limit=[1.0, 4.0, 8.0]), seeds=[0]) + lanes(*axes.grid(critic_l2=[3e38]), seeds=[0])
    folder = SweepFolder.plan(tmp_path / "sweep", asked, 2)
    assert not {row["lane"] for row in before} & {lane.hash for lane in asked}
    printed = work(folder)
    assert {line.split()[0] for line in printed if "| iteration" in line} == {"group-0001"}
    after = SweepFolder.open(folder.path).rows()
    assert [row["lane"] for row in after] == [row["lane"] for row in before]
    assert [(row["status"], row["iterations"]) for row in after] == [("finished", 4)] * 3 + [("nonfinite", 0)]
    assert after[3]["message"] == "iteration 1: nan or infinity"
    assert after[2]["stochastic_reward"] is not None


def test_a_sweep_of_a_later_version_is_read_but_not_gone_on_with(tmp_path):
    shutil.copytree(swept().path, tmp_path / "sweep")
    path = tmp_path / "sweep" / "manifest.json"
    content = json.loads(path.read_text())
    content["groups"][1]["common"]["hyperparams"]["momentum"] = 0.9
    path.write_text(json.dumps(content))
    assert len(SweepFolder.open(path.parent).rows()) == 4
    with pytest.raises(ValueError, match=r"has settings of a later version \(momentum\)"):
        SweepFolder.plan(path.parent, limits(), 3)
    assert "momentum" in path.read_text()


def test_a_budget_of_samples_ends_a_lane(tmp_path):
    found = lanes(*axes.grid(zeta_negative=[0.0, -0.5]), seeds=[0], algorithm="espo", num_timesteps=150)
    folder = SweepFolder.plan(tmp_path / "sweep", found, lanes_per_group=8)
    work(folder, pack_size=2)
    assert [(row["status"], row["iterations"]) for row in folder.rows()] == [("finished", 3), ("finished", 4)]
    assert [row["env_steps"] for row in folder.rows()] == [192, 160]


def test_several_programs_and_numbers_of_constraints(tmp_path):
    two = axes.zipped(task=["point", "two"], cost_limit=[4.0, (4.0, 5.0)])
    folder = SweepFolder.plan(tmp_path / "sweep", lanes(two, seeds=[0], settings={"num_iterations": 2}), 8)
    printed = work(folder)
    assert sum("compiling" in line for line in printed) == 2
    one, both = folder.rows()
    assert (one["cost_limit_1"], one.get("cost_limit_2")) == (4.0, None)
    assert (both["cost_limit_1"], both["cost_limit_2"]) == (4.0, 5.0)
    assert both["cost_1"] > 0 < both["stochastic_cost_2"]
    table = columns.read(sorted((folder.path / "metrics").iterdir()))
    assert table["episode_cost_2"].null_count == 2
    assert table.num_rows == 4


def test_the_docs_read_a_sweep_with_pandas(tmp_path, capsys):
    """The example of docs/sweeps.md, as it stands but for the folder and the length of the sweep."""
    found = lanes(*axes.grid(cost_limit=[1.0, 4.0], zeta_negative=[-0.1, 0.0]), seeds=[0, 1])
    work(SweepFolder.plan(tmp_path / "sweep", found, 8))
    page = (Path(__file__).parents[3] / "docs" / "sweeps.md").read_text()
    [example] = [code for code in re.findall("```python\n(.*?)```", page, re.DOTALL) if "pandas" in code]
    assert len([line for line in example.splitlines() if line and "import" not in line]) <= 5
    exec(example.replace("runs/sweep", str(tmp_path / "sweep")).replace("> 80", "> 2"))
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ["episode_reward", "episode_cost"]
    assert len(printed) == 2 + 4


def test_a_whole_sweep_is_one_call(tmp_path):
    given = {"task": "point", "preset": "none", "algorithm": "trpo", "num_eval_episodes": 2, **TINY}
    for seeds in ([0], [0, 1]):  # the second call runs what is new
        folder = run(
            axes.grid(cost_limit=LIMITS), seeds, tmp_path / "sweep", make_env=make_env, console=Quiet(), **given
        )
    assert sorted(rows(folder), key=lambda row: row["lane"]) == sorted(rows(swept()), key=lambda row: row["lane"])
    with pytest.raises(ValueError, match="axis cost_limit is -1: it must lie in"):
        run(axes.grid(cost_limit=[-1.0]), [0], tmp_path / "other", make_env=make_env, console=Quiet(), **given)
    assert not (tmp_path / "other").exists()


def test_a_group_has_one_process_at_a_time(tmp_path):
    folder = SweepFolder.plan(tmp_path / "sweep", limits(), lanes_per_group=2)
    with folder.locked(folder.manifest.groups[0]):
        with pytest.raises(BusyError), SweepFolder.open(folder.path).locked(folder.manifest.groups[0]):
            pass
        printed = work(folder)
    assert printed[0] == "group-0000 is left out: another process works on it"
    assert [row["status"] for row in folder.rows()] == ["planned", "planned", "finished", "finished"]
    work(folder)
    assert rows(folder) == rows(swept())


def test_policies_of_all_lanes_are_arrays(tmp_path):
    folder = swept()
    with np.load(folder.path / "groups" / "group-0000" / "policies.npz") as arrays:
        assert arrays["policy/params/log_std"].shape == (3, 1)
        assert all(np.isfinite(array).all() for array in arrays.values())


def test_a_signal_after_the_last_iteration_leaves_the_evaluation_to_do(tmp_path):
    folder = SweepFolder.plan(tmp_path / "sweep", limits(), lanes_per_group=4)
    with pytest.raises(Interrupted):
        work(folder, Signal(5))  # one check before the program is compiled, and one before each iteration
    assert {(row["status"], row["iterations"]) for row in folder.rows()} == {("running", 4)}
    work(folder)
    assert rows(folder) == rows(swept())


def test_the_table_has_the_lanes_that_another_process_added(tmp_path):
    folder = SweepFolder.plan(tmp_path / "sweep", limits(), lanes_per_group=4)
    SweepFolder.plan(tmp_path / "sweep", limits(1.0, 4.0, 9.0), lanes_per_group=4)
    work(folder)
    assert columns.read([folder.path / "lanes.parquet"])["status"].to_pylist() == ["finished"] * 4 + ["planned"] * 2


def test_a_worker_goes_on_with_groups_that_are_larger_than_before(tmp_path):
    path = tmp_path / "sweep"
    worker = Worker(SweepFolder.plan(path, limits(1.0), 8), make_env, Report(Quiet(), swept().manifest), pack_size=4)
    worker.run()
    worker.folder = SweepFolder.plan(path, limits(1.0, 4.0, 9.0), 8)
    worker.run()
    assert [row["status"] for row in worker.folder.rows()] == ["finished"] * 6


def test_room_for_groups_that_are_not_planned_yet_compiles_once(tmp_path):
    folder = SweepFolder.plan(tmp_path / "sweep", limits(1.0), lanes_per_group=8)
    sizes = []

    def compile_program(*args, size, pack_size, **options):
        sizes.append((size, pack_size))
        raise Interrupted(signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "compile_program", compile_program)
        with pytest.raises(Interrupted):
            Worker(folder, make_env, Report(Quiet(), folder.manifest), pack_size=4, room=6).run()
    assert sizes == [(6, 4)]
