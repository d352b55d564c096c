"""The colours of pictures: those of an algorithm are its own everywhere, and none is that of a mode."""

import itertools

import numpy as np
from matplotlib.colors import to_rgb

from espo_jax.algorithms import RULES
from espo_jax.modes import MODE_NAMES
from espo_jax.runs.colors import ALGORITHM_COLORS, GROUP_COLORS, MODE_COLORS, colors_of


def lab(color):
    """CIE L*a*b* of an sRGB colour, white point D65."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    x, y, z = np.cbrt(xyz / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def distance(one, other):
    return np.linalg.norm(lab(one) - lab(other))


def test_every_algorithm_and_mode_has_a_colour_of_its_own():
    assert set(ALGORITHM_COLORS) == set(RULES)
    assert len(MODE_COLORS) == len(MODE_NAMES)
    for one, other in itertools.combinations([*ALGORITHM_COLORS.values(), *MODE_COLORS], 2):
        assert distance(one, other) > 20, (one, other)


def test_an_algorithm_keeps_its_colour_whatever_it_is_drawn_with():
    alone, pair = colors_of(["espo"]), colors_of(["crpo", "espo"])
    assert alone == [pair[1]]
    np.testing.assert_allclose(pair[0], to_rgb(ALGORITHM_COLORS["crpo"]))
    assert colors_of(["my_code:RULE"]) == colors_of(["my_code:RULE", "espo"])[:1]


def test_several_groups_of_an_algorithm_are_shades_of_its_colour():
    first, other, second = colors_of(["espo, cost_limit 25", "trpo", "espo, cost_limit 50"])
    np.testing.assert_allclose(first, to_rgb(ALGORITHM_COLORS["espo"]))
    assert distance(first, second) > 20
    assert distance(second, other) > 20
    assert all(distance(second, mode) > 10 for mode in MODE_COLORS)


def test_groups_that_are_no_algorithms_have_different_colours():
    for names in (["zeta_negative -0.5", "zeta_negative -0.3"], ["espo, seed 0", "espo, seed 1"], list("abcdefghijkl")):
        colors = colors_of(names)
        assert len({tuple(color) for color in colors}) == len(names)


def test_only_numbers_are_steps_of_a_scale():
    alike = {
        "espo": [f"espo, conflict_metric {name}" for name in "abcde"],
        "crpo": ["crpo, sample_size_rule gradient_conflict", "crpo, x -1"],
        "a": list("bcdefg"),
    }
    for first, others in alike.items():
        colors = colors_of([first, *others])
        assert colors[0] == to_rgb(ALGORITHM_COLORS.get(first, GROUP_COLORS[0]))
        for one, other in itertools.combinations([*colors, "white"], 2):
            assert distance(one, other) > 20, (one, other)
    steps = [lab(color)[0] for color in colors_of(["zeta_negative -1.0", "zeta_negative -0.3", "zeta_negative 0"])]
    assert steps == sorted(steps)  # from dark to light
