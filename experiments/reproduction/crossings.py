"""Figure 1, counted: how often the cost crosses the edges of the band."""

import numpy as np

from reproduction.cells import Curve
from reproduction.estimates import estimate
from reproduction.tables import Curves, markdown, of
from reproduction.variants import RIVALS


def count(curve: Curve) -> dict[str, float | None]:
    """How often the cost crosses the edges of the band, b + h- and b + h+, and the limit, after the warm-up.

    None for an edge at infinity, and for an algorithm without a band.
    """
    after = {name: values[curve.after_warmup] for name, values in curve.values.items()}
    edges = {"b": 0.0 * after["cost_limit"], "b + h-": after["slack_negative"], "b + h+": after["slack_positive"]}
    found: dict[str, float | None] = {}
    for name, slack in edges.items():
        is_above = after["episode_cost"] > after["cost_limit"] + slack
        drawn = np.all(np.isfinite(slack)) and (name == "b" or curve.cell.variant.has_band)
        found[name] = int(np.sum(is_above[1:] != is_above[:-1])) if drawn else None
    return found


def table(curves: Curves) -> str:
    """Crossings of each algorithm on each task."""
    rows = []
    for task, rivals in RIVALS.items():
        for algorithm in ("espo", *rivals):
            if runs := of(curves, task, algorithm):
                counts = [count(curve) for curve in runs]
                row = {"task": task, "algorithm": algorithm, "seeds": str(len(runs))}
                for edge in counts[0]:
                    known = [number for number in (each[edge] for each in counts) if number is not None]
                    row[f"crossings of {edge}"] = estimate(known).text(0) or "no such edge"
                rows.append(row)
    return markdown(rows)
