"""The whole experiment in its small scale, and that the committed page is what the committed results say."""

import json
from pathlib import Path

import pytest
import theory
from tabular import page, verdicts
from tabular.scales import SCALES

FOLDER = Path(__file__).parents[2] / "docs" / "results"


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    folder = tmp_path_factory.mktemp("theory")
    theory.main(theory.Args(scale="small", output=folder))
    return folder


def test_a_small_run_writes_results_page_and_pictures(output):
    results = json.loads((output / "theory.json").read_text())
    assert set(results["seconds"]) == set(results) - {"scale", "jax", "seconds"}
    assert (output / "theory.md").read_text() == page.text(results)
    for name in ("iterations", "size", "region", "samples"):
        assert (output / "img" / f"theory_{name}.png").stat().st_size > 5_000
    theory.main(theory.Args(run=False, output=output))
    assert (output / "theory.md").read_text() == page.text(results)


def test_the_committed_page_is_that_of_the_committed_results():
    results = json.loads((FOLDER / "theory.json").read_text())
    assert (FOLDER / "theory.md").read_text() == page.text(results)
    assert results["scale"] == json.loads(json.dumps(SCALES["full"]._asdict()))


@pytest.mark.parametrize(
    ("low", "high", "ratio", "verdict"),
    [
        (-0.2, 0.0, 9.0, verdicts.HOLDS),
        (-0.1, 0.2, 9.0, verdicts.OPEN),
        (0.1, 0.2, 9.0, verdicts.FAILS),
        (0.1, 0.2, 1.0, verdicts.OPEN),
    ],
)
def test_errors_are_held_against_an_upper_bound(low, high, ratio, verdict):
    assert verdicts.against({"low": low, "high": high}, ratio) == verdict


@pytest.mark.parametrize(
    ("failures", "verdict"),
    [
        ({"q": 0, "fisher": 0}, verdicts.NOT_REFUTED),
        ({"q": 0, "centred": 2, "fisher": 0}, verdicts.IN_PART),
        ({"q": 2, "centred": 0, "fisher": 0}, verdicts.FAILS),
    ],
)
def test_a_counterexample_in_the_literal_reading_refutes(failures, verdict):
    assert verdicts.of_readings(failures) == verdict


def test_a_random_counterexample_counts_for_its_reading():
    results = json.loads((FOLDER / "theory.json").read_text())
    assert [verdict.verdict for verdict in verdicts.of_region(results)] == [verdicts.FAILS, verdicts.NOT_REFUTED]
    random = results["region"]["joint"]
    random["uniform, fisher"] -= 1
    assert verdicts.of_region(results)[1].verdict == verdicts.IN_PART
    random["costly, q"] -= 1
    assert verdicts.of_region(results)[1].verdict == verdicts.FAILS


def test_the_corridor_has_a_verdict_of_its_own():
    results = json.loads((FOLDER / "theory.json").read_text())
    (found,) = [verdict for verdict in verdicts.all_of(results) if "corridor" in verdict.claim]
    assert found.because.startswith("largest error of one CMDP relative to the bound at T = ")
