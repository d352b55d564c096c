"""The colours of all pictures and pages: those of Okabe and Ito, told apart with every kind of colour vision."""

BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY_BLUE, YELLOW = "#E69F00", "#56B4E9", "#F0E442"
BLACK, GREY, LIGHT_GREY = "#222222", "#555555", "#999999"

MODE_COLORS = (BLUE, VERMILLION, GREEN, YELLOW)  # by place in MODE_NAMES
COST_COLORS = (VERMILLION, BLUE, PURPLE, GREEN, SKY_BLUE, ORANGE)  # one for each constraint
GROUP_COLORS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY_BLUE, BLACK)  # one for each group of runs
