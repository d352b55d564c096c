"""`espo tasks` lists what can be trained."""

import safety_envs

from espo_jax import cli


def test_tasks_lists_what_can_be_trained(capsys):
    assert cli.main(["tasks"]) == 0
    text = capsys.readouterr().out
    for name in safety_envs.task_names():
        assert name in text, "names are not cut"
    assert " 376 " in text
    assert "0.1 sum a^2" in text
    assert "the default here is mujoco" in text
