"""The colours of all pictures and pages: what is a mode, what is an algorithm, what is a constraint.

An algorithm has one colour in every picture. Algorithms have dark colours, those of Okabe and Ito, told apart with
every kind of colour vision; modes, which are areas, have light ones.
"""

import zlib
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import to_rgb

BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY_BLUE, WINE, OLIVE = "#E69F00", "#56B4E9", "#882255", "#6B6B00"
BLACK, GREY, LIGHT_GREY = "#222222", "#555555", "#999999"

MODE_COLORS = ("#A9CBE8", "#F4AFA0", "#C3DDA0", "#F7DC6F")  # by place in MODE_NAMES
COST_COLORS = (VERMILLION, BLUE, PURPLE, GREEN, SKY_BLUE, ORANGE)  # one for each constraint
ALGORITHM_COLORS = {
    "espo": BLUE, "pcrpo": VERMILLION, "crpo": GREEN, "pcpo": PURPLE, "cup": ORANGE, "ppo_lagrangian": WINE,
    "trpo": BLACK,
}  # fmt: skip
GROUP_COLORS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY_BLUE, BLACK)  # one for each line that is no algorithm
OWN_COLORS = (SKY_BLUE, OLIVE, "#7F3C8D", "#A6761D", "#00868B")  # of algorithms of the user's own
_LIGHTEST = 0.5  # share of white in the lightest shade of a colour


def colors_of(names: Sequence[str]) -> list[Any]:
    """One colour for each group of runs, by the names of the groups.

    A name may begin with that of an algorithm, such as "espo, cost_limit 25". Groups of different algorithms have the
    colour of their algorithm, in several shades if it has several groups. Groups of one algorithm, or of none, get the
    steps of a colour scale if all names end in a number or they are many. Otherwise they get colours without an order;
    the first group of one algorithm has the colour of the algorithm.

    Args:
      names: names of the groups, all different.
    """
    algorithms = [name.split(", ")[0] for name in names]
    if not all(name in ALGORITHM_COLORS or ":" in name for name in algorithms):
        return _palette_or_scale(GROUP_COLORS, names)
    if len(set(algorithms)) == 1:
        return _palette_or_scale(list(dict.fromkeys((_color_of(algorithms[0]), *OWN_COLORS))), names)
    found = []
    for place, algorithm in enumerate(algorithms):
        shades = algorithms.count(algorithm)
        share = _LIGHTEST * algorithms[:place].count(algorithm) / max(1, shades - 1)
        found.append(tuple((1 - share) * np.array(to_rgb(_color_of(algorithm))) + share))
    return found


def _color_of(algorithm: str) -> str:
    """Colour of an algorithm; one of the user's own has the same in every process."""
    return ALGORITHM_COLORS.get(algorithm) or OWN_COLORS[zlib.crc32(algorithm.encode()) % len(OWN_COLORS)]


def _palette_or_scale(palette: Sequence[str], names: Sequence[str]) -> list[Any]:
    """Colours of a palette; steps of a scale if all names end in a number or the palette is too small."""
    count = len(names)
    if count == 1 or (count <= len(palette) and not all(map(_ends_in_a_number, names))):
        return [to_rgb(color) for color in palette[:count]]
    scale = matplotlib.colormaps["viridis" if count <= len(GROUP_COLORS) else "turbo"]
    return [scale(0.9 * place / (count - 1)) for place in range(count)]


def _ends_in_a_number(name: str) -> bool:
    try:
        float(name.split()[-1])
    except (IndexError, ValueError):  # no word, or no number
        return False
    return True
