"""Groups of runs: by any setting, never of what cannot be averaged, and cut to what all of them have."""

import dataclasses

import numpy as np
import pytest

from espo_jax.results import groups
from espo_jax.results.read import read_run
from tests.made_up import made_up, run_dirs


@pytest.fixture
def runs(tmp_path):
    return run_dirs(tmp_path)


def test_groups_are_by_any_setting(runs):
    read = [read_run(path) for path in runs]
    by_zeta = groups.group(read, ["algorithm", "zeta_negative"])
    assert {name: len(group) for name, group in by_zeta.items()} == {
        "espo, zeta_negative -0.3": 3, "espo, zeta_negative -0.6": 3,
    }  # fmt: skip
    assert list(groups.group(read[:3], ["seed"])) == ["seed 0", "seed 1", "seed 2"]
    assert list(groups.group(read[:3], ["num_envs"])) == ["num_envs 4"]
    for field in ("zeta", "config"):
        with pytest.raises(ValueError, match=f"group_by is '{field}': a run has no such setting"):
            groups.group(read, [field])


def test_iterations_are_those_that_all_runs_have():
    short, long = made_up(np.arange(3.0), (0.0, 0.0)), made_up(np.arange(5.0) + 1, (0.0, 0.0))
    x, values = groups.align([short, long], "episode_cost")
    assert x.tolist() == [1, 2, 3]
    assert values[..., 0].tolist() == [[0, 1, 2], [1, 2, 3]]


def test_steps_are_interpolated_where_all_runs_are():
    first = [{"env_steps": 100 * i, "episode_cost": 10.0 * i} for i in (1, 2, 3)]
    second = [{"env_steps": 50 * i, "episode_cost": 5.0 * i} for i in (1, 2, 3, 4)]
    x, values = groups.align([first, second], "episode_cost", "env_steps")
    assert (x[0], x[-1]) == (100, 200)
    np.testing.assert_allclose(values[..., 0], np.stack([x / 10, x / 10]))


def test_runs_without_a_common_part_are_refused():
    one, other = ([{"env_steps": float(s), "episode_reward": 0.0} for s in steps] for steps in ((1, 2), (5, 9)))
    with pytest.raises(ValueError, match="the runs of a group have no part in common"):
        groups.align([one, other], "episode_reward", "env_steps")


def changed(run, **changes):
    """A run with other settings."""
    options = {name: value for name, value in changes.items() if hasattr(run.config.options, name)}
    config = {name: changes.get(name, value) for name, value in run.config.config.items()}
    hyperparams = {name: changes.get(name, value) for name, value in run.config.hyperparams.items()}
    options = dataclasses.replace(run.config.options, **options)
    return dataclasses.replace(
        run, config=dataclasses.replace(run.config, options=options, config=config, hyperparams=hyperparams)
    )


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"task": "safety_reacher"}, "task"),
        ({"cost_limit": 17.0}, "cost_limit"),
        ({"target_kl": 0.5}, "target_kl"),
        ({"episode_length": 7}, "episode_length"),
    ],
)
def test_runs_that_differ_in_more_than_their_seed_are_not_averaged(runs, changes, named):
    read = [read_run(path) for path in runs[:3]]
    mixed = [*read[:2], changed(read[2], **changes)]
    with pytest.raises(ValueError, match=rf"the group 'espo' averages runs that differ in {named} \(") as error:
        groups.group(mixed, ["algorithm"])
    offered = f"algorithm,{named}"
    assert f"--group-by {offered} keeps them apart" in str(error.value)
    assert "\n" not in str(error.value)
    assert [len(group) for group in groups.group(mixed, offered.split(",")).values()] in ([2, 1], [1, 2])


def test_seeds_lengths_and_how_it_is_computed_may_differ(runs):
    read = [read_run(path) for path in runs[:3]]
    longer = changed(read[2], num_iterations=1000, block_size=1, rollout_chunk=3, num_eval_episodes=7)
    assert len(groups.group([*read[:2], longer], ["algorithm"])["espo"]) == 3


def test_many_differences_are_one_readable_line(runs):
    read = [read_run(path) for path in runs[:3]]
    many = changed(read[0], task="a", discount=0.5, target_kl=0.5, cost_limit=3.0, gae_lambda=0.1, num_envs=3)
    with pytest.raises(ValueError, match="and 2 more settings: --group-by algorithm,task,") as error:
        groups.group([*read, many], ["algorithm"])
    assert len(str(error.value)) < 400


def test_what_only_some_runs_have_is_left_out_and_said():
    short, long = (made_up(np.arange(float(count)), (0.0, 0.0)) for count in (3, 5))
    kept = groups.in_common([short, long])
    assert [[line["iteration"] for line in run] for run in kept] == [[1, 2, 3]] * 2
    for line in long:
        line["env_steps"] //= 2
    by_steps = groups.in_common([short, long], "env_steps")
    assert [run[-1]["env_steps"] for run in by_steps] == [200, 250]
    assert groups.lengths({"espo": [short, short]}, "iteration") == ""
    text = "espo: its runs end at iterations 3, 5, shown up to 3"
    assert groups.lengths({"espo": [short, long]}, "iteration") == text
