"""What can be tuned, what is drawn for it, and what is refused."""

import re

import optuna
import pytest

from espo_jax.results.search_space import corners, parse_space


def test_ranges_and_choices():
    kl, zeta, sizes = parse_space(
        ("target-kl=0.005:0.05:log", "zeta_negative=-0.5:-0.1:linear"), ("policy_hidden_sizes=32:32,64:64",)
    )
    assert (kl.name, kl.ends, kl.text) == ("target_kl", (0.005, 0.05), "0.005:0.05:log")
    assert kl.distribution(optuna) == optuna.distributions.FloatDistribution(0.005, 0.05, log=True)
    assert zeta.distribution(optuna) == optuna.distributions.FloatDistribution(-0.5, -0.1)
    assert sizes.distribution(optuna).choices == ("32:32", "64:64")
    assert sizes.value("64:64") == (64, 64)


def test_a_log_scale_of_negative_numbers():
    (zeta,) = parse_space(("zeta_negative=-0.5:-0.1:log",), ())
    assert zeta.distribution(optuna) == optuna.distributions.FloatDistribution(0.1, 0.5, log=True)
    assert zeta.value(zeta.rounded(0.3)) == -0.3
    assert zeta.rounded(0.50000001) == 0.5


def test_numbers_that_are_drawn_have_six_digits_and_stay_inside():
    (kl,) = parse_space(("target_kl=0.00512345678:0.05:log",), ())
    assert kl.rounded(0.01234567891) == 0.0123457
    assert kl.rounded(0.005123456781) == 0.00512346
    (kl,) = parse_space(("target_kl=0.00512345123:0.05:log",), ())
    assert kl.rounded(0.005123451231) == 0.00512345123


def test_every_end_and_choice_is_a_corner():
    space = parse_space(("target_kl=0.01:0.1:log",), ("algorithm=espo,crpo,trpo",))
    assert corners(space).names == ("target_kl", "algorithm")
    assert corners(space).points == ((0.01, "espo"), (0.1, "espo"), (0.01, "crpo"), (0.01, "trpo"))


@pytest.mark.parametrize(
    ("ranges", "choices", "message"),
    [
        ((), (), "nothing is tuned: give range, such as"),
        (("target_kl=0.01:0.1",), (), "range target_kl=0.01:0.1: it must be low:high:linear or low:high:log"),
        (("target_kl=0.1:0.01:log",), (), "low must be below high"),
        (("target_kl=0.01:0.1:cubic",), (), "it must be one of linear, log"),
        (("target_kl",), (), "range is 'target_kl': it must be name=low:high:log"),
        (("target_k=0.01:0.1:log",), (), "range target_k: there is no such setting; did you mean target_kl?"),
        (("target_kl=-1:0.1:linear",), (), "range target_kl is -1: it must lie in (0, inf)"),
        (("zeta_negative=-0.5:0.1:linear",), (), "range zeta_negative is 0.1: it must lie in (-1, 0]"),
        (("num_envs=4:8:linear",), (), "range num_envs: num_envs is a static setting"),
        (("warmup_iterations=0:8:linear",), (), "range warmup_iterations: warmup_iterations is no real number"),
        (("num_iterations=4:8:linear",), (), "range num_iterations: all lanes of a sweep have the same"),
        (("cost_limit=4:8:linear",), (), "trials with another cost_limit cannot be compared"),
        ((), ("task=a,b",), "choice task: trials with another task cannot be compared"),
        ((), ("seed=1,2",), "choice seed: every point of a sweep has the same seeds"),
        ((), ("algorithm=espo",), "choice algorithm is 'espo': it must have at least two values"),
        ((), ("discount=0.9,0.90",), "choice discount is '0.9,0.90': it has one value twice"),
        ((), ("discount=0.9,2",), "choice discount is 2: it must lie in [0, 1]"),
        ((), ("algorithm",), "choice 'algorithm': it must be name=value,value,..."),
        (("discount=0.9:1:linear",), ("discount=0.9,1",), "range and choice name discount twice"),
    ],
)
def test_bad_input_is_named(ranges, choices, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_space(ranges, choices)
