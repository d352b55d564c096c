"""The words of docs/results/paper.md, beside the tables that are made from the cells."""

HEAD = """# ESPO, reproduced

Written by `python experiments/paper.py tables` and `figures` from the cells in docs/results/{cells}, one Parquet file
for each run; no number in a table is typed in. `python experiments/paper.py run` trains the cells that are missing.

- b is the limit of an episode's cost V_c. ESPO follows the reward below b + h⁻, the cost above b + h⁺, and both in the
  band between. X is the base sample size, T the number of iterations. After an iteration in the band whose reward
  and cost conflict ESPO takes X(1 + ζ⁺) samples, after any other one X(1 + ζ⁻). PCRPO is ESPO with X samples in every
  iteration. [docs/paper.md](../paper.md) has the whole algorithm, and the settings.
- Physics `{backend}`, 500 iterations (1,000 with half of X), the paper's settings (`--preset paper`).
- Numbers are interquartile means over seeds (means for fewer than four) with 95 % bootstrap intervals in brackets. Such
  an interval is too narrow for few seeds. If the noise is normal, it contains the truth in 50 % of cases with 2 seeds,
  in 75 % with 3, in 87 % with 4 and in 91 % with 5. The claims below are therefore judged by means and Student's t.
- A difference is taken for each seed and then averaged. It is not always the difference of the averages in another
  table.
- Reward and cost are undiscounted sums of an episode: means over the last 20 iterations of training, of the policy that
  samples. "Fresh episodes" are 20 new ones of the last policy, with its noise.
- "At equal samples" compares two runs of the same seed where the shorter one has ended, by means of the 20 iterations
  up to there, linear between iterations.
- "Conflicts" are the iterations after the warm-up with the cost in the band and an angle above 90 degrees, of all
  iterations. Algorithms that never look at the angle have them too. The angle is that of the natural steps. For CUP and
  PPO-Lagrangian, which have no natural steps, it is that of the gradients, and with another `conflict_metric` it is the
  angle of this metric: these shares cannot be compared with the others.
- The warm-up is the first 40 iterations on the Safety-MuJoCo tasks. They follow the reward, whatever the cost is.
- Minutes are wall time without compilation, of runs that were alone on an idle machine (`run --idle`). Only those of
  one task may be compared: the runs were timed in several sittings, perhaps on different machines. Cells on different
  processors are not compared in time. Early cells name none; they are compared only with each other.
- The tables show the variants that have cells. The sections after Figure 1 show an algorithm with the paper's settings
  only with the seeds that they compare, so that a variant with one seed stands beside one run. One run decides nothing.
"""

SHORT = """## In short

A reading of the tables below, by a person, as of 2026-12-01. The words are not computed, the tables are.

- **Samples.** ESPO takes the number of samples that its rule makes of the conflicts, and with a termination at the time
  limit on every task this number is within some 6 % of the paper's. "25 to 29 % fewer" is so on Reacher and
  HumanoidStandup. It is open on Walker2d, and with the truncation that Omnisafe has it is not so on the velocity tasks.
- **Where they are saved.** On HumanoidStandup mostly after iterations in cost mode, of which the paper has next to
  none. How many there are depends on the noise of the first policy, which the paper does not give.
- **Reward.** ESPO has more than CRPO at equal samples on Walker2d and HumanoidStandup, with a termination; in the few
  runs with a truncation it has not. PCRPO, which is ESPO with X samples in every iteration, has more than ESPO in the
  end on both. On HopperVelocity ESPO has no more than PCPO and CUP; on AntVelocity its rivals have more, and exceed the
  limit all the time. "Outperforms" is not what these runs show.
- **Limit.** ESPO is clearly under it on Reacher and HopperVelocity, and at it on the others. Whether it violates the
  limit less often in training depends on how this is counted: by samples it does on most tasks, by iterations after
  the warm-up it does not on Walker2d and HumanoidStandup.
- **Time.** What it saves against rivals with the same kind of step is fewer samples and nothing else, and the noise of
  the machine is too large to say how much. Against CUP and PPO-Lagrangian most of it is a cheaper sample.
- **Is it the conflict that chooses the samples well?** Not shown: random sizes with as many samples ended lower in one
  run on Walker2d, and alike in two on HopperVelocity. In other algorithms the rule saves samples too. More reward it
  does not bring: in one run each, CRPO with X/2 in twice as many iterations had more than with the rule, CUP as much.
- **Theory.** The bound of Theorem 4.1 is not contradicted. Proposition 4.2 does not hold for the update as it is
  written. Proposition 4.3 holds for easy targets and fails for hard ones.
"""

RULE = """## The claims of the abstract

A claim is a number of comparisons: one for each task and rival, or for each task if all rivals are alike. A
comparison is a mean over seeds with its 95 % interval by Student's t. It says yes or no if the whole interval is on the
side of the claim or on the other, else it is open; with fewer than {fewest} seeds it is not made. The claim is
**not decided** if a comparison is not made, whatever the others say. Otherwise it **holds** if all say yes, **does not
hold** if more say no than yes, **holds in part** if some say yes, and is **not decided** if all are open.

This count is not corrected for the number of comparisons: if ESPO equalled its rivals, at least one of twelve
independent ones would still say yes or no in about half of all experiments. There is therefore a second verdict, with
wider intervals, all of which together contain the truth with 95 % (Bonferroni). Where both differ, the first rests on
a comparison that may be chance. A rival whose runs all exceed the limit is named, and so is one that does not learn
what it learns elsewhere: it is no merit to beat it. Runs are compared by their seeds, as is the custom, although runs
of one seed have little in common here: over pairs, the correlation of their rewards is between -0.8 and 0.9. Without
pairs (Welch's test) four answers would differ: ESPO has more reward than CRPO on Walker2d and less than CUP and
PPO-Lagrangian on AntVelocity, and against PCRPO on Walker2d the last violations are open. The thresholds of samples
and time are those of the abstract. In the paper's own tables the samples miss theirs on Walker2d and AntVelocity, and
the time misses it on Walker2d.

Every rival takes X samples in every iteration, so that ESPO's samples are compared with X T. The time of a run is its
samples times the seconds per sample of the one run of its algorithm that was alone on an idle machine. The tables name
the seed of this run; the command below times seed 0. A time therefore has a value for each of ESPO's seeds, whatever
seeds the rival has. Its interval has the spread of the samples, and is then made as wide as the noise of the machine:
each end by the largest factor between times of a sample that should be alike. Where a sample of ESPO takes clearly less
time than one of the rival, the time is saved by a cheaper sample too, and not only by fewer samples.
"""

THEORY = """On random and on small tabular problems. `q`, `centred` and `fisher` are readings of what the angle is
between; `q` is the update as the paper writes it. [theory.md](theory.md) has the rules, of which some were changed
after the first full run, the measurements, and the smallest examples where a claim fails.
"""

ALL_TASKS = """## Samples over all tasks

The mean of the tasks, each of which counts alike. A task with one seed adds nothing to the width of an interval.
"""

MODES = """## Table 3: iterations in each mode on HumanoidStandup

The warm-up counts as reward mode. The paper gives no number of conflicts; that of its row follows from its samples.
ESPO saves samples after every iteration without a conflict. The last column has how much of what it saves is saved
after iterations in cost mode. In these runs that is most of it; in the paper it is next to nothing. With the [other
reading of the time limit](#the-other-reading-of-the-time-limit) the counts are others.
"""

CURVES = """## Figures 2, 3 and 5: curves

Lines are interquartile means of runs, each averaged over 20 iterations, with 95 % bootstrap intervals; the number of
runs is in brackets. The third row is the cost again, minus the limit, at the scale of the last fifth of the lines.
Minutes are shown where a run of every line was timed.
"""

SECTIONS = {  # what each asks
    "figure 4": """## Figure 4: other limits and other sizes on Walker2d

The paper says that ESPO reaches a similar reward with a limit of 30 as with 40, and more reward with a ζ⁺ of 0.2 than
with 0. Minutes are the samples times those of a sample of the algorithm's timed run in Table 1.
""",
    "rules": """## Rules for the sample size

Are the samples well chosen by the conflict of the gradients, or would another rule do as well? All of these are ESPO
with another rule between the same two sizes, X(1 + ζ⁻) and X(1 + ζ⁺):

- `conflict_angle` makes ESPO's rule continuous in the angle.
- `norm_test` and `inner_product_test` choose the size by the noise of the gradient. Their tolerance is the default; it
  is not fitted to the number of samples of ESPO.
- `random_56` draws the larger size in 56 % of the iterations, whatever the gradients say. This is the mean of
  ESPO's share of conflicts on Walker2d over seeds 0 to 2, with which the rules are compared; the tables have
  interquartile means of all seeds. `random_58` does so for HopperVelocity.
- PCRPO takes X in every iteration, or X/2 in twice as many iterations: the same samples.
  With X/2 the warm-up and the last 20 and 100 iterations have half as many samples as those of the others.

The last two columns are the shares of the iterations after the first that took the smallest and the largest size. A
rule that is nearly always at one of them is in effect a fixed size.
""",
    "carries over": """## Gradient conflict around other algorithms

Does the rule save samples in other algorithms too? They have no balance mode, but the rule asks only whether the cost
is in the band and the angle above 90 degrees. For CUP and PPO-Lagrangian that is the angle of the gradients, not of
natural steps. X/2 in twice as many iterations takes the same samples as X. Its warm-up and its last 20 and 100
iterations have half as many samples.
""",
    "time limit": """## The other reading of the time limit

An episode of 1,000 steps ends by its time limit. The advantages take this as a termination, or as a truncation whose
last state has a value; the paper does not say which. These runs have the reading that the tables above do not have. The
last columns of the first table count the iterations in each mode, if the algorithm has a balance mode. The second table
has each algorithm minus itself in the reading above, and ESPO minus its rivals in the other reading. The rules for
the sample size and the algorithms with gradient conflict are not run with it. A run whose episodes all end before
1,000 steps is the same in both readings, as that of seed 0 of PPO-Lagrangian on HopperVelocity is.
""",
    "conflict": """## The conflict's metric and its resolution

What the angle is between, and how gradients that conflict are combined: `euclidean` compares the gradients and `fisher`
measures natural steps in the Fisher product; `weighted` adds both gradients as they are, `min_norm` and `cagrad` are
rules of multi-objective optimisation. [docs/algorithms.md](../algorithms.md) has their equations.
""",
    "initial noise": """## The noise of the first policy on HumanoidStandup

The cost of HumanoidStandup is mostly the squared size of its 17 actions. A policy that only adds noise of standard
deviation 1 has a cost of 0.1 · 17 · 1,000 = 1,700 from it, which is b + h⁺: the first iteration is above the band
already. The paper does not give this number. The code family of the paper's code has 1, and so have the tables above;
these runs have e^-0.5 = 0.61, a common choice, with a cost of 625. The
[table of modes](#table-3-iterations-in-each-mode-on-humanoidstandup) has those of the paper, 298 of reward and 3 of
cost; its samples are 5.1 M.
""",
}

DEVIATIONS = """## Deviations from the paper's protocol

The paper's code is not public. Where its text is silent the readings of [docs/paper.md](../paper.md), section 5, are
used; [docs/algorithms.md](../algorithms.md) gives the reasons.

- **Readings.** The time limit is a termination on the Safety-MuJoCo tasks and a truncation on the velocity tasks; the
  section on the time limit has the opposite choice. The code families of the paper do so. The numbers of samples depend
  on it, and so does the claim about them: the table of claims has both. The angle is that of the natural steps
  (`conflict_metric="natural"`), but for CUP and PPO-Lagrangian that of the gradients. V_c is the undiscounted cost of
  an episode. In the balance mode x_r = x_c = 1/2.
- **Warm-up.** On the Safety-MuJoCo tasks the first 40 iterations follow the reward only, as in the code family of the
  paper's code. ESPO takes X(1 + ζ⁻) samples after each of them, its rivals X. This alone saves 40 · |ζ⁻| of 500 X
  samples: 2.4 % with ζ⁻ = -0.3, 4 % with -0.5. If the paper has the warm-up, its numbers have this too.
- **Errors of the paper.** Its Algorithm 1 exchanges two references, and its equations 32 and 33 have a wrong sign and
  exchange r and c; both are [corrected](../paper.md#4-algorithm-1-and-the-errata-that-are-corrected-here).
- **Rollouts.** 16 or 20 environments are stepped together instead of one, and an iteration's samples are pieces of
  episodes that go on in the next iteration. V_c is estimated from these pieces.
- **V_c on the velocity tasks** is that of the current policy. In Omnisafe 0.5.0 it is the mean of the last 50 episodes,
  and some of these are episodes of earlier policies. With an exponential mean of the same age ESPO took more samples
  on HopperVelocity and learned worse ([one run](learning.md#v_c-over-50-episodes-as-in-omnisafe)).
- **Networks and critics.** On the Safety-MuJoCo tasks the networks are tanh; the code family of the paper's code uses
  ReLU, fits critics to Monte Carlo returns, and only those of the objectives that are followed, scales the value's
  output by 0.1, and moves the normaliser while it samples. Here all critics are fitted in every iteration, to
  TD(lambda) returns. Each of these differences alone was
  [tried on HumanoidStandup](learning.md#humanoidstandup-what-it-needs) for 150 iterations. None brought the cost below
  b + h⁺ by then. Without a change that takes 211 to 250 iterations: a smaller effect would not have been seen.
- **Steps.** The Fisher product uses every fourth sample (`fisher_stride`). The line search bounds the KL divergence by
  1.5 times its radius (`kl_margin`); the code family has no bound.
- **Rivals.** CRPO's tolerance is 0. PCPO's projected step is scaled back to the KL radius. CUP and PPO-Lagrangian
  follow Omnisafe 0.5.0 where Table 7 is silent: Adam for the multipliers (CUP's at most 2), a policy's learning rate
  that falls linearly to 0, and cost advantages that are centred and not standardised. PPO-Lagrangian does not learn
  HopperVelocity with these settings, where Omnisafe publishes a reward of 962. Omnisafe itself, with its own settings
  and [stopped after 32 of 500
  epochs](learning.md#cup-and-ppo-lagrangian-the-learning-rate-and-the-bound-on-the-multiplier), had not learned it by
  then either, which does not show that it would not have. The section on [gradient
  conflict](#gradient-conflict-around-other-algorithms) has other runs of it.
- **Precision.** The physics is in double precision, everything else in single precision.
"""

HOURS = """Hours are wall time without stops, which are iterations of more than ten times the median. Runs that a later
one replaced are not counted. A run that was alone had both cores of the machine. Most others had one core, or shared
both with other work, so that their rates differ.
"""

ACCELERATOR = """## On an accelerator

Not measured: none was lent to this work. An estimate from what can be counted, with
`python experiments/benchmarks/launches.py --samples 16000 --num-envs 16`: with the 16 environments of these runs one
iteration of Reacher on `spring` is 1.02 million kernels in sequence, all but 8,400 of them physics. If a kernel takes
3 microseconds, that is 3 s, or 26 minutes for a run; Table 1 has the minutes of this machine. But the seeds of a
program run as lanes beside each other (`--lanes-per-group`) and share these kernels as long as they do not fill the
device, so that any number of seeds takes about as long as one. The {variants} variants of this page are at most as
many programs: about a day of one GPU for all seeds if their physics were as small as Reacher's. That of Brax's
Humanoid has 4.7 times as many kernels. A GPU is faster only with hundreds of environments; the paper uses one
environment.
"""
