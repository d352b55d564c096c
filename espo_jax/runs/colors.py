"""The colours of all pictures and pages: those of Okabe and Ito, told apart with every kind of colour vision."""

from typing import Any

import matplotlib

BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY_BLUE, YELLOW = "#E69F00", "#56B4E9", "#F0E442"
BLACK, GREY, LIGHT_GREY = "#222222", "#555555", "#999999"

MODE_COLORS = (BLUE, VERMILLION, GREEN, YELLOW)  # by place in MODE_NAMES
COST_COLORS = (VERMILLION, BLUE, PURPLE, GREEN, SKY_BLUE, ORANGE)  # one for each constraint
GROUP_COLORS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY_BLUE, BLACK)  # one for each group of runs


def colors_of(count: int) -> list[Any]:
    """One colour for each of so many groups: GROUP_COLORS, or for more groups the steps of a colour scale."""
    if count <= len(GROUP_COLORS):
        return list(GROUP_COLORS[:count])
    return [matplotlib.colormaps["turbo"](place / (count - 1)) for place in range(count)]
