"""Sample sizes at random: the control for rules that look at gradients.

`random_27` draws X(1 + zeta+) in 27 % of the iterations and X(1 + zeta-) in the others, whatever the gradients say.
With the share of iterations in which ESPO found a conflict it uses as many samples as ESPO.
"""

import re

import jax
import jax.numpy as jnp

from espo_jax.sample_size import Evidence, SampleSizeRule


def random_size(evidence: Evidence, share: float) -> jax.Array:
    """X(1 + zeta+) with a probability, else X(1 + zeta-): [] float32.

    Args:
      evidence: inputs of a sample-size rule.
      share: the probability.
    """
    zeta = jnp.where(jax.random.bernoulli(evidence.key, share), evidence.zeta_positive, evidence.zeta_negative)
    return evidence.base * (1 + zeta)


def __getattr__(name: str) -> SampleSizeRule:
    """The rule random_<percent>."""
    match = re.fullmatch(r"random_(\d\d?)", name)
    if match is None:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return SampleSizeRule(lambda evidence: random_size(evidence, int(match[1]) / 100))
