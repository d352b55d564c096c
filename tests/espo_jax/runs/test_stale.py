"""What was made of a policy is marked when its run goes on."""

import pytest

from tests.tiny_runs import copied, finished, go_on


@pytest.mark.usefixtures("shared_programs")
def test_what_was_made_of_an_earlier_policy_is_marked(tmp_path):
    run_dir = copied(finished(), tmp_path / "run")
    for name in ("report.html", "policy.onnx", "eval-last.json", "eval-best-safe-spring.json", "notes.txt"):
        (run_dir / name).write_text(name)
    _, console = go_on(run_dir, num_iterations=5)
    names = {path.name for path in run_dir.iterdir()}
    assert {
        "report-before-iteration5.html",
        "policy-before-iteration5.onnx",
        "eval-last-before-iteration5.json",
        "eval-best-safe-spring-before-iteration5.json",
        "notes.txt",
    } <= names
    assert not {"report.html", "policy.onnx", "eval-last.json"} & names
    assert (run_dir / "report-before-iteration5.html").read_text() == "report.html"
    printed = "\n".join(console.lines)
    assert "report.html is of the policy before the run went on: it is now report-before-iteration5.html" in printed
    go_on(run_dir, num_iterations=6)
    assert {path.name for path in run_dir.iterdir()} >= {"report-before-iteration5.html"}, "marked once"


@pytest.mark.usefixtures("shared_programs")
def test_a_run_that_trains_nothing_more_leaves_everything_as_it_is(tmp_path):
    run_dir = copied(finished(), tmp_path / "run")
    (run_dir / "report.html").write_text("of this policy")
    go_on(run_dir)
    assert (run_dir / "report.html").exists()
