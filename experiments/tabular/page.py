"""The page docs/results/theory.md, from the results file."""

from collections.abc import Sequence
from typing import Any

from tabular import examples
from tabular.algorithm import READINGS
from tabular.verdicts import TOLERANCE, all_of, interval

HEAD = """# The theory on tabular CMDPs

```bash
python experiments/theory.py             # {minutes:.0f} minutes of CPU time: results, pictures and this page
python experiments/theory.py --no-run    # pictures and page again, from theory.json
```

jax {jax}, double precision, scale `{scale}`. The claims are those of [section 8](../paper.md#8-theory) of the digest of
the paper. Policies are softmax policies of a table and start uniform; the values are exact or estimated from rollouts; the optimum is
that of a linear programme. Modes, conflict, projection and sample sizes are the library's functions. Intervals are 95 %
bootstrap intervals over CMDPs.

## Verdicts

"""

RULES = """
The rules behind the verdicts are in `experiments/tabular/verdicts.py`. An exponent agrees with an upper bound if its interval is
below the claimed exponent plus {tolerance:g}, and disagrees if it is above; otherwise nothing is decided. "Holds in part" means:
in some of the readings of the angle or combinations that are listed, not in all.
"""

SETUP = """
## The update, and what the angle is between

Natural policy gradient with a table moves the logits by η/(1−γ) times Q̄. ESPO takes Q_r, −Q_c, or the projected
combination of both. A constant that is added to a state's row of Q changes no policy, so all tables below move the policy
alike. But it changes the Euclidean angle between the two tables, and with it the mode (aligned or conflict), the projection and the sample
size. The paper does not say which table it means. The results are given for these readings:

| reading | the two vectors are | balances in conflict |
|---|---|---|
{readings}

The last column is the share of conflicts among the iterations in the band, measured with the sampled updates of Proposition 4.3 at the
smaller X.

**With the Q tables themselves the test for conflict is empty** where rewards and costs are not negative: all entries of Q_r and
Q_c are then ≥ 0, so ⟨Q_r, −Q_c⟩ ≤ 0, and no balance is aligned except if the inner product is 0. To add a constant to the reward
of every step changes no optimal policy, but it decides how often this reading finds a conflict. The reading `centred` has no such
defect; it is what the library's conjugate gradients find for the metric `natural`. In the Fisher product the constants cancel.
"""

THEOREM = """
## Theorem 4.1: gap and violation against T

η = (1−γ)^1.5/√(|S||A|T), h⁻ = 0, x_r = 1/2, and h⁺ = √(|S||A|)/((1−γ)^1.5 √T): the constant that Õ leaves open is 1, chosen
before the runs. So h⁺ equals the bound √(|S||A|/((1−γ)³T)). The output policy is drawn among the iterates with weights 1 (reward only), y_r
(balance) and 0 (cost only); gap and violation are weighted means. Random CMDPs: 5 states, 3 actions, γ = 0.8, Dirichlet
transitions, rewards and costs uniform in [0, 1], and b at 30 % of the way from the lowest cost to the cost of the best policy without a
limit. The corridor is a hand-made walk with one costly step. "Sampled" estimates Q from 8 rollouts of 31 steps for each state and action.

{table}

Exponents of the mean over CMDPs of the positive parts, fitted to all T and to the last three T:

{exponents}

![Error against T](img/theory_iterations.png)

At small T the bound is larger than the range of the values and says nothing; there the error is flat. The violation cannot
exceed h⁺ with exact values: iterates above b + h⁺ have weight 0. The sizes, at T = {size_count:,}, exact updates:

{sizes}

![Error against the size](img/theory_size.png)
"""

REGION = """
## Proposition 4.2: staying in the region

Exact updates of {cmdps} random CMDPs with T = {count:,}, from the uniform policy and from a policy above the region that takes each
state's most costly action with a probability of about 0.9. "Left": CMDPs with an iterate outside after the first one inside. "Excess": the largest
distance above b + h⁺, in units of h⁺. "Follow the reward": share of the iterations in the reward-only or a balance mode, mean over CMDPs.

{table}

Counted without the balances, ESPO has fewer reward iterations than CRPO: {only}. The claim is about both
modes together, which is also how Table 3 of the paper counts.

### Smallest examples where it leaves

Candidates have deterministic transitions, rewards and costs from 0, 1/4, 1/2, 3/4, 1, γ = 0.5, and the uniform policy at the
start; T = {search:,}.

{search_table}

"Leave" has one number for each x_r = {weights}. {always}

{fisher}

![Leaving the region](img/theory_region.png)

{fewer}
"""

FISHER = """Why the Fisher product differs: to first order a step d changes V_c by −⟨d, g_c⟩_F in proportion. With the Fisher
product in both places, the projection gives ⟨d, g_c⟩_F ≥ 0 for every x, and an aligned balance has it too: a small step in the band
does not raise V_c. A Euclidean product of tables ensures ⟨d, g_c⟩ ≥ 0 only in a product that weighs all states and actions
alike, and V_c can rise in each balance until it is above b + h⁺. With x_r = 1 the first-order change can be 0, and terms of second order
decide."""

SAMPLES = """
## Proposition 4.3: samples to a target

Sampled updates of {cmdps} random CMDPs (4 states, 3 actions, γ = 0.7), {seeds} seeds each, T = {count:,}, rollouts of 20 steps. The
target: gap and violation of the output policy so far are both at most a share of the bound of Theorem 4.1. The ratio is to the samples that the fixed
size X needs to the same target (PCRPO: the same algorithm without manipulation), as a geometric mean over the CMDPs in which both reach it.

{table}

![Samples until a target](img/theory_samples.png)

Two things follow from arithmetic. The ratio of all samples is 1 + ζ⁻ + (ζ⁺ − ζ⁻) times the share of conflicts, so manipulation saves
samples only while that share is below −ζ⁻/(ζ⁺ − ζ⁻) (75 % for 0.1 and −0.3). And a control is needed: "fixed X/2" takes half of
the samples in every iteration, whatever the gradients say. {control}

### Smallest examples that need more samples

With exact values the iterates do not depend on X, so that only the sizes differ. Target: half of the bound; ζ⁺ = 0.1,
ζ⁻ = −0.3. The first column counts the CMDPs that reach the target after the first iteration.

{search}

{examples}
"""


def text(results: dict[str, Any]) -> str:
    """The whole page."""
    seconds = sum(results["seconds"].values())
    scale = "full" if results["scale"]["cmdps"] > 8 else "small"
    head = HEAD.format(minutes=max(1, seconds / 60), jax=results["jax"], scale=scale)
    verdicts = table(["claim", "verdict", "numbers"], [list(verdict) for verdict in all_of(results)])
    parts = [head + verdicts, RULES.format(tolerance=TOLERANCE), SETUP.format(readings=_readings(results))]
    return "".join([*parts, _theorem(results), _region(results), _samples(results)])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; a bar within a cell is escaped."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _readings(results: dict[str, Any]) -> str:
    rows = [row for row in results["samples"]["rows"] if row["rollouts"] == results["samples"]["rows"][0]["rollouts"]]
    share = {row["reading"]: f"{100 * row['in_band']:.0f} %" for row in reversed(rows)}
    return "\n".join(
        f"| `{name}` | {reading.words} | {share.get(name, 'not measured')} |" for name, reading in READINGS.items()
    )


def _theorem(results: dict[str, Any]) -> str:
    part = results["iterations"]
    rows = [
        [name, f"{cell['T']:,}", f"{cell['bound']:.3f}", *(interval(cell[kind], 3) for kind in ("gap", "violation", "error")),
         f"{cell['largest'] / cell['bound']:.2f}", f"{cell['least_share']:.2f}"]
        for name, cells in part["cells"].items() for cell in cells
    ]  # fmt: skip
    head = ["update", "T", "bound", "gap", "violation", "error", "largest error / bound", "least sum of weights / T"]
    fits = [
        [name, *(interval(part["exponents"][name][kind], name="exponent") for kind in ("gap", "violation", "error")),
         interval(part["late"][name]["error"], name="exponent")]
        for name in part["cells"]
    ]  # fmt: skip
    exponents = table(["update", "gap", "violation", "error", "error, last T"], fits)
    size_rows = [
        [name, f"{cell[name]:.3g}", f"{cell['bound']:.3f}", interval(cell["gap"], 3), interval(cell["violation"], 3),
         interval(cell["error"], 3), f"{cell['largest'] / cell['bound']:.2f}"]
        for name, cells in results["size"]["cells"].items() for cell in cells
    ]  # fmt: skip
    size_head = ["varied", "value", "bound", "gap", "violation", "error", "largest error / bound"]
    sizes = table(size_head, size_rows)
    return THEOREM.format(table=table(head, rows), exponents=exponents, sizes=sizes, size_count=results["size"]["T"])


def _region(results: dict[str, Any]) -> str:
    part, found = results["region"], results["region_examples"]
    rows = [
        [row["start"], f"`{row['reading']}`", f"{row['x_r']:g}", f"{row['left']} of {row['cmdps']}", f"{row['excess']:.1e}",
         f"{100 * row['any']['mean']:.1f} %", f"{100 * row['any_crpo']['mean']:.1f} %", str(row["fewer"])]
        for row in part["rows"]
    ]  # fmt: skip
    head = ["start", "reading", "x_r", "left", "excess / h⁺", "follow the reward", "CRPO", "CMDPs with fewer than CRPO"]
    middle = [row for row in part["rows"] if row["x_r"] == 0.5]
    only = "; ".join(
        f"{100 * row['only']['mean']:.0f} % against {100 * row['only_crpo']['mean']:.0f} % (start {row['start']}, `{row['reading']}`)"
        for row in middle if row["reading"] == "centred"
    )  # fmt: skip
    return REGION.format(
        cmdps=part["rows"][0]["cmdps"], count=part["rows"][0]["T"], table=table(head, rows), only=only,
        search=found["rows"][0]["T"], search_table=examples.search_of_region(found, table),
        weights=", ".join(f"{weight:g}" for weight in found["weights"]), always=examples.leaving(found), fisher=FISHER,
        fewer=examples.fewer(found),
    )  # fmt: skip


def _samples(results: dict[str, Any]) -> str:
    part, found = results["samples"], results["samples_examples"]
    rows = []
    for row in part["rows"]:
        ratios = [interval(t["ratio"]) + f" ({t['cmdps']})" if t["ratio"] else "none reach it" for t in row["targets"]]
        rows.append(
            [f"`{row['reading']}`", f"{row['X']:,}", row["rule"], *ratios, f"{row['samples']['mean']:.2f}",
             interval(row["error"], 4), f"{100 * row['conflicts']['mean']:.0f} %"]
        )  # fmt: skip
    targets = [f"to {target['target']:g} of the bound (CMDPs)" for target in part["rows"][0]["targets"]]
    head = ["reading", "X", "rule", *targets, "all samples", "error at the end, difference", "conflicts"]
    return SAMPLES.format(
        cmdps=part["rows"][0]["cmdps"], seeds=part["seeds"], count=part["T"], table=table(head, rows),
        control=examples.control(part), search=examples.search_of_samples(found, table),
        examples=examples.more_samples(found),
    )  # fmt: skip
