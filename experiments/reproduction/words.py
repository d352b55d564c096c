"""The words of docs/results/paper.md that do not depend on the cells."""

HEAD = """# ESPO, reproduced

Written by `python experiments/paper.py tables` and `figures` from the cells in docs/results/{cells}, one Parquet file
for each run; no number of a run is typed in. `python experiments/paper.py run` trains the cells that are missing.

- Physics `{backend}`, 500 iterations (1,000 with half of X), the paper's settings (`--preset paper`).
- Numbers are interquartile means over seeds (means for fewer than four) with 95 % bootstrap intervals in brackets.
  Such an interval is too narrow for few seeds: of 3 seeds with normal noise it has the truth in 75 % of cases, of 5 in
  91 %. The verdicts below therefore use Student's t.
- Reward and cost are undiscounted sums of an episode: means over the last 20 iterations of training, of the policy that
  samples. "Fresh episodes" are 20 new ones of the last policy.
- "At equal samples" compares two runs of the same seed where the shorter one has ended.
- "Conflicts" are the iterations after the warm-up with the cost in the band and an angle above 90 degrees, of all
  iterations. Algorithms that never look at the angle have them too.
- Minutes are wall time without compilation, of runs that were alone on an idle machine (`run --idle`).
"""

THEORY = """On random and on small tabular problems. `q`, `centred` and `fisher` are readings of what the angle is
between; `q` is the update as the paper writes it. [theory.md](theory.md) has the rules, of which some were changed
after the first full run, the measurements, and the smallest examples where a claim fails.
"""

DEVIATIONS = """## Deviations from the paper's protocol

The paper's code is not public. Where its text is silent the readings of [docs/paper.md](../paper.md), section 5, are
used; [docs/algorithms.md](../algorithms.md) gives the reasons.

- **Readings.** The time limit is a termination on the Safety-MuJoCo tasks and a truncation on the velocity tasks; the
  section on the time limit has the other way round. The angle is that of the natural steps
  (`conflict_metric="natural"`). V_c is the undiscounted cost of an episode.
- **Rollouts.** 16 or 20 environments are stepped together instead of one, and an iteration's samples are pieces of
  episodes that go on in the next iteration. V_c is estimated from these pieces.
- **V_c on the velocity tasks** is that of the current policy. In Omnisafe 0.5.0 it is the mean of the last 50 episodes,
  and some of these are episodes of earlier policies. With such a mean ESPO took more samples on HopperVelocity, not
  fewer ([one run](learning.md#v_c-over-50-episodes-as-in-omnisafe)).
- **Networks and critics.** On the Safety-MuJoCo tasks the networks are tanh; the code family of the paper's code uses
  ReLU, fits critics to Monte Carlo returns, and only those of the objectives that are followed, scales the value's
  output by 0.1, and moves the normaliser while it samples. Here all critics are fitted in every iteration, to
  TD(lambda) returns.
- **Steps.** The Fisher product uses every fourth sample (`fisher_stride`). The line search bounds the KL divergence by
  1.5 times its radius (`kl_margin`); the code family has no bound.
- **Rivals.** CRPO's tolerance is 0. PCPO's projected step is scaled back to the KL radius. CUP and PPO-Lagrangian
  follow Omnisafe 0.5.0 where Table 7 is silent: Adam for the multipliers (CUP's at most 2), a policy's learning rate
  that falls linearly to 0, and cost advantages that are centred and not standardised.
- **Precision.** The physics is in double precision, everything else in single precision.
"""

HOURS = """Hours are wall time. A run that was alone had both cores of the machine. Most others had one core, or shared
both with other work, so that their rates differ.
"""

ACCELERATOR = """## On an accelerator

Not measured: none was lent to this work. An estimate from what can be counted, with
`python experiments/benchmarks/launches.py --samples 16000 --num-envs 16`: with the 16 environments of these runs one
iteration of Reacher on `spring` is 1.02 million kernels in sequence, all but 8,400 of them physics. If a kernel takes
3 microseconds, that is 3 s, or 26 minutes for a run. One core of this machine takes about 1.5 s on `mujoco`. But the
seeds of a program run as lanes beside each other (`--lanes-per-group`) and share these kernels as long as they do not
fill the device, so that any number of seeds takes about as long as one. The variants of this page are 55 programs:
a day of one GPU for all seeds if their physics were as small as Reacher's. That of Brax's Humanoid has 4.7 times as
many kernels. A GPU pays from hundreds of environments on, and the paper has one.
"""
