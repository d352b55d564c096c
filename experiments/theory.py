"""The paper's theory on tabular CMDPs: Theorem 4.1, Propositions 4.2 and 4.3, and smallest examples where they fail.

    python experiments/theory.py                   # everything (15 minutes of one core), then the page and its pictures
    python experiments/theory.py --scale small --output /tmp/theory    # a minute
    python experiments/theory.py --no-run          # the page and the pictures again, from the results file

The policies are softmax policies of a table, the optimum is that of a linear programme, and the update uses the
library's own modes, conflict and sample-size functions (docs/paper.md, section 8).
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import tyro
from tabular import constants, counterexamples, page, pictures, region, samples, theorem
from tabular.scales import SCALES, Scale

RESULTS = Path(__file__).parent.parent / "docs" / "results"


@dataclass(frozen=True)
class Args:
    """Measure the claims, and write the results file, the page and its pictures.

    Attributes:
      scale: how much is run.
      run: measure; otherwise the results file is read.
      output: folder of the results file `theory.json`, the page `theory.md` and the pictures `img/theory_*.png`.
    """

    scale: Literal["full", "small"] = "full"
    run: bool = True
    output: Path = RESULTS


def measure(scale: Scale) -> dict[str, Any]:
    """All results, in double precision."""
    parts = {
        "iterations": theorem.against_iterations,
        "size": theorem.against_size,
        "region": region.measure,
        "samples": samples.measure,
        "region_examples": counterexamples.of_region,
        "samples_examples": counterexamples.of_samples,
        "constants": lambda scale: constants.measure(scale, results["region_examples"]["leaving"]),
    }
    results: dict[str, Any] = {"scale": scale._asdict(), "jax": jax.__version__, "seconds": {}}
    with jax.enable_x64(True):
        for name, part in parts.items():
            begin = time.process_time()
            results[name] = part(scale)
            results["seconds"][name] = round(time.process_time() - begin)
            print(f"{name}: {results['seconds'][name]} s", flush=True)
    return results


def main(args: Args) -> None:
    path = args.output / "theory.json"
    if args.run:
        args.output.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rounded(measure(SCALES[args.scale])), ensure_ascii=False) + "\n", encoding="utf-8")
    results = json.loads(path.read_text(encoding="utf-8"))
    pictures.draw(results, args.output / "img")
    (args.output / "theory.md").write_text(page.text(results), encoding="utf-8")
    print(args.output / "theory.md")


def rounded(value: Any) -> Any:
    """The results with five significant digits."""
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(part) for part in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main(tyro.cli(Args))
