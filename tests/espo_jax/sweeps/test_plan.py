"""The plan of a sweep: which lanes there are, by what they are known, and which program runs them."""

import dataclasses

import numpy as np
import pytest

from espo_jax.cli import sweep as cli_sweep
from espo_jax.cli.common import BadInputError
from espo_jax.results import compare
from espo_jax.results.compare import CompareOptions
from espo_jax.runs import files
from espo_jax.runs.files import DamagedError
from espo_jax.runs.options import RunOptions
from espo_jax.sweeps import axes, memory, run
from espo_jax.sweeps.folder import SweepFolder
from espo_jax.sweeps.manifest import Manifest
from espo_jax.sweeps.memory import Memory
from espo_jax.sweeps.options import SweepOptions
from espo_jax.sweeps.plan import programs_of
from espo_jax.sweeps.sweep import check
from tests.probe_envs import TINY
from tests.tiny_sweeps import lanes, limits, make_env


def ids(found):
    return [lane.id for lane in found]


def test_a_lane_is_known_by_what_its_numbers_depend_on():
    [lane] = lanes(seeds=[0])
    assert ids(lanes(seeds=[0])) == [lane.id]
    same = [
        lanes(*axes.grid(cost_limit=[4.0]), seeds=[0]),  # the task's own limit
        lanes(seeds=[0], settings={"num_iterations": 9}),
        lanes(seeds=[0], num_timesteps=1000, num_eval_episodes=0),
        lanes(*axes.grid(zeta_positive=[0.1, 0.2]), seeds=[0])[:1],  # the other lane needs more capacity
    ]
    assert [ids(found) for found in same] == [[lane.id]] * 4
    others = [lanes(seeds=[1]), lanes(seeds=[0], settings={"discount": 0.9}), lanes(seeds=[0], algorithm="crpo")]
    others += [lanes(seeds=[0], task="two"), lanes(seeds=[0], settings={"max_zeta_positive": 0.3})]
    assert len({lane.id, *(found[0].id for found in others)}) == 6


def test_numbers_that_are_written_otherwise_are_the_same_lane():
    written = [[25, 50.0], [25.0, 50], [[25.0], (50,)], np.array([25, 50])]
    assert len({tuple(ids(lanes(*axes.grid(cost_limit=list(values)), seeds=[0]))) for values in written}) == 1
    [one] = lanes(seeds=[0], settings={"warmup_iterations": 3.0, "anneal_zeta_positive": True})
    [other] = lanes(seeds=[0], settings={"warmup_iterations": 3, "anneal_zeta_positive": np.bool_(True)})
    assert one.id == other.id


def test_a_setting_is_given_or_an_axis():
    with pytest.raises(ValueError, match="target_kl is given for all lanes, and is an axis: give only one of both"):
        lanes(*axes.grid(target_kl=[0.1, 0.2]), settings={"target_kl": 0.3})


def test_the_same_lane_is_there_once():
    assert len(lanes(*axes.grid(cost_limit=[1.0, 2.0, 1.0]), seeds=[0, 1])) == 4


def test_static_settings_make_programs_and_traced_ones_do_not():
    found = lanes(
        *axes.grid(cost_limit=[1.0, 2.0], num_envs=[2, 4], algorithm=["trpo", "espo"], zeta_positive=[0, 0.2])
    )
    programs = programs_of(found)
    assert [len(program.lanes) for program in programs] == [8] * 4
    assert [program.config["max_zeta_positive"] for program in programs] == [0.2] * 4
    stacked = programs[0].hyperparams(programs[0].lanes)
    assert np.asarray(stacked.cost_limit)[:, 0].tolist() == [1.0] * 4 + [2.0] * 4
    assert [lane.config.options.seed for lane in programs[0].lanes] == [0, 1] * 4


def test_what_is_wrong_names_its_lane():
    with pytest.raises(ValueError, match=r"lane num_envs=100: base_sample_size is 64: it must be at least num_envs"):
        lanes(*axes.grid(num_envs=[4, 100]))
    with pytest.raises(ValueError, match="unknown task 'x'"):
        lanes(task="x", preset="paper")
    [program] = programs_of(
        lanes(*axes.grid(slack_positive=[0.0, 1.0]), algorithm="espo", settings={"slack_negative": 0})
    )
    with pytest.raises(ValueError, match="lane slack_positive=0: slack_positive and slack_negative are 0"):
        check(program, make_env)
    with pytest.raises(ValueError, match="seeds is empty"):
        lanes(seeds=[])


def test_a_pack_that_does_not_fit_is_refused_with_the_size_that_does(monkeypatch):
    [program] = programs_of(lanes(seeds=range(4)))
    needs = check(program, make_env).memory
    monkeypatch.setattr(memory, "device_bytes", lambda device: int(2.5 * (needs.state + needs.iteration)))
    with pytest.raises(ValueError, match=r"pack_size is 4: so many lanes at once .*; it must be at most 2"):
        check(program, make_env, pack_size=16)
    assert check(program, make_env, pack_size=2).pack_size == 2


def test_a_lane_that_does_not_fit_is_refused_before_anything_is_compiled(monkeypatch):
    monkeypatch.setattr(memory, "device_bytes", lambda device: 1000)
    [program] = programs_of(lanes())
    with pytest.raises(ValueError, match=r"one lane needs about .* GB and the device has 0.0 GB: num_envs is 4"):
        check(program, make_env)


def test_sizes_of_packs_and_groups():
    needs = Memory(state=2**20, iteration=2**30, limit=80 * 2**30)
    assert memory.pack_size(needs, 64, "cpu") == 1
    assert memory.pack_size(needs, 64, "gpu") == 40  # half of the memory
    assert memory.pack_size(needs, 4096, "gpu") == 4  # 16,384 environments
    assert memory.lanes_per_group(needs, 4, 8) == 8 * 64 * 4
    assert memory.lanes_per_group(needs._replace(state=2**33), 4, 1) == 3


def test_a_manifest_is_read_as_it_was_written(tmp_path):
    found = lanes(
        *axes.grid(cost_limit=[1.0, 2.0], slack_positive=[np.inf], num_envs=[2, 4], zeta_positive=[0.1, 0.2]),
        seeds=range(3),
    )
    folder = SweepFolder.plan(tmp_path / "sweep", found, lanes_per_group=4)
    read = SweepFolder.open(tmp_path / "sweep").manifest
    assert [len(group.lanes) for group in read.groups] == [4, 4, 4] * 2
    assert [group.name for group in read.groups] == [f"group-{n:04}" for n in range(6)]
    for written, again in zip(folder.manifest.lanes, read.lanes, strict=True):
        assert (written.id, written.title, written.varied) == (again.id, again.title, again.varied)
        assert files.strict(written.config.as_json()) == files.strict(again.config.as_json())
    assert {group.program.config["max_zeta_positive"] for group in read.groups} == {0.2}


def test_a_wider_sweep_has_only_what_is_new_in_new_groups(tmp_path):
    SweepFolder.plan(tmp_path / "sweep", limits(1.0, 2.0), lanes_per_group=10)
    wider = SweepFolder.plan(tmp_path / "sweep", limits(1.0, 2.0, 3.0), lanes_per_group=10).manifest
    assert [[lane.varied["cost_limit"] for lane in group.lanes] for group in wider.groups] == [[1, 1, 2, 2], [3, 3]]
    narrower = SweepFolder.plan(tmp_path / "sweep", limits(2.0), lanes_per_group=10).manifest
    assert ids(narrower.lanes) == ids(wider.lanes)


def test_a_longer_sweep_has_the_same_lanes(tmp_path):
    before = SweepFolder.plan(tmp_path / "sweep", limits(), lanes_per_group=10).manifest
    longer = lanes(*axes.grid(cost_limit=[1.0, 4.0]), settings={"num_iterations": 9})
    after = SweepFolder.plan(tmp_path / "sweep", longer, lanes_per_group=10).manifest
    assert ids(after.lanes) == ids(before.lanes)
    assert {lane.config.hyperparams["num_iterations"] for lane in after.lanes} == {9}


def test_lanes_keep_the_budgets_with_which_they_are_asked_for(tmp_path):
    def annealed(cost_limit, num_iterations):
        settings = {"anneal_zeta_negative": True, "num_iterations": num_iterations, "cost_limit": cost_limit}
        return lanes(settings=settings, seeds=[0])

    short, long = annealed(1.0, 4), annealed(4.0, 8)
    for asked in (long, [*short, *long], [*long, *short]):
        manifest = SweepFolder.plan(tmp_path / "sweep", asked, lanes_per_group=10).manifest
    found = {lane.hash: lane.config.hyperparams["num_iterations"] for lane in manifest.lanes}
    assert found == {short[0].hash: 4, long[0].hash: 8}


def test_another_sweep_s_folder_is_refused(tmp_path):
    SweepFolder.plan(tmp_path / "sweep", limits(), lanes_per_group=10)
    before = (tmp_path / "sweep" / "manifest.json").read_bytes()
    other = lanes(*axes.grid(cost_limit=[1.0, 4.0]), settings={"discount": 0.5})
    with pytest.raises(ValueError, match=r"sweep: it has another sweep: its discount is 0.995, and 0.5 is asked for"):
        SweepFolder.plan(tmp_path / "sweep", other, lanes_per_group=10)
    assert (tmp_path / "sweep" / "manifest.json").read_bytes() == before
    (tmp_path / "mine").mkdir()
    with pytest.raises(ValueError, match=r"mine exists and has no manifest.json: it is no sweep"):
        SweepFolder.plan(tmp_path / "mine", other, lanes_per_group=10)


@pytest.mark.parametrize(
    "start",
    [
        lambda path, make_env: run.run([], [0], path, make_env=make_env),
        lambda path, make_env: cli_sweep.run(SweepOptions(sweep_dir=path), RunOptions(), {}, make_env),
        lambda path, make_env: compare.prepare(make_env, {}, CompareOptions(run_dir=path)),
    ],
    ids=["python", "sweep", "compare"],
)
def test_a_folder_that_is_no_sweep_is_refused_before_an_environment_is_made(start, tmp_path):
    def make_env(*names):
        pytest.fail(f"the environment {names} was made")

    with pytest.raises((ValueError, BadInputError), match="it is no sweep"):
        start(str(tmp_path), make_env)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises((DamagedError, BadInputError), match="it is not valid JSON"):
        start(str(tmp_path), make_env)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format=9), "has format 9: this version reads 1"),
        (lambda m: m.pop("groups"), "it has no groups"),
        (lambda m: m.update(groups=[]), "it has no groups"),
        (lambda m: m["groups"][0].update(name="../x"), "a group has the name '../x'"),
        (lambda m: m["groups"][0].update(lanes=[]), "group-0000 has no lanes"),
        (lambda m: m["groups"][0].pop("common"), "is damaged: KeyError 'common'"),
        (lambda m: m["groups"][0]["common"].update(algorithm=3), "cannot be used: algorithm is 3"),
        (lambda m: m["groups"][0]["lanes"][0].update(seed=-1), "is damaged: seed is -1"),
        (lambda m: m["groups"][0]["lanes"][0].update(seed="x"), "is damaged: seed is 'x'"),
        (lambda m: m["groups"][0]["lanes"][0].update(hyperparams={"cost_limit": "x"}), "cost_limit is 'x'"),
        (lambda m: m["groups"][0]["lanes"][0].update(config={"num_envs": 0}), "num_envs is 0"),
        (lambda m: m["groups"][0]["lanes"][0].update(varied=3), "is damaged"),
    ],
)
def test_a_damaged_manifest_is_refused_in_one_line(change, message, tmp_path):
    SweepFolder.plan(tmp_path / "sweep", limits(), lanes_per_group=10)
    path = tmp_path / "sweep" / "manifest.json"
    content = files.read_json(path)
    change(content)
    files.write_json(path, content)
    with pytest.raises(DamagedError, match=message) as caught:
        Manifest.read(path)
    assert str(path) in str(caught.value)


def test_a_budget_in_the_annealing_cannot_change(tmp_path):
    def annealed(num_iterations):
        return lanes(settings={"anneal_zeta_negative": True, "num_iterations": num_iterations})

    SweepFolder.plan(tmp_path / "sweep", annealed(4), lanes_per_group=10)
    with pytest.raises(ValueError, match="num_iterations is 5: the run anneals over 4 iterations"):
        SweepFolder.plan(tmp_path / "sweep", annealed(5), lanes_per_group=10)


def test_lanes_are_checked_with_all_their_settings():
    [program] = programs_of(lanes(*axes.grid(cost_limit=[1.0, 2.0])))
    found = check(program, make_env, pack_size=8)
    assert found.pack_size == 4  # no larger than the number of lanes
    assert found.algorithm.config.num_envs == TINY["num_envs"]
    assert dataclasses.asdict(found.algorithm.config)["block_size"] == TINY["block_size"]
