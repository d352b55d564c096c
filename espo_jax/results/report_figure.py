"""The curves of a run's web page, by plotly: one panel for each quantity, in the colours of the other pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from espo_jax.modes import MODE_NAMES
from espo_jax.results.read import Records
from espo_jax.runs.colors import BLACK, COST_COLORS, GREY, LIGHT_GREY, MODE_COLORS
from espo_jax.runs.curves import cost_top
from espo_jax.runs.records import series

_PANELS = {  # quantity -> height of its panel in pixels
    "reward": 170, "cost": 190, "samples": 120, "angle, °": 120, "mode": 36,
    "KL, nats": 110, "entropy, nats": 110, "multiplier": 110, "critic loss": 150,
}  # fmt: skip
_GAP = 58  # pixels between panels, for a legend of two lines on a phone


class _Figure:
    """The panels, each with a legend of its own above it."""

    def __init__(self, x: np.ndarray, panels: Sequence[str]):
        import plotly.graph_objects as go
        from plotly.subplots import make_subplots

        self._go, self._x, self._panels = go, x.tolist(), list(panels)
        heights = [_PANELS[name] for name in panels]
        total = sum(heights) + _GAP * (len(panels) - 1)
        self.figure = make_subplots(
            len(panels), 1, shared_xaxes=True, vertical_spacing=_GAP / total, row_heights=heights
        )
        margin = {"t": _GAP, "r": 12, "l": 52, "b": 40}
        self.figure.update_layout(
            height=total + margin["t"] + margin["b"], template="plotly_white", hovermode="x unified", margin=margin
        )
        for row, name in enumerate(panels, start=1):
            top = self.figure.layout[_numbered("yaxis", row)].domain[1]
            legend = {
                "orientation": "h", "x": 0, "xanchor": "left", "y": top, "yanchor": "bottom", "tracegroupgap": 0,
                "title": {"text": f"<b>{name}</b>  ", "side": "left"}, "font": {"size": 12},
            }  # fmt: skip
            self.figure.update_layout({_numbered("legend", row): legend})
        self.figure.update_xaxes(range=[0, x[-1]])
        self.figure.update_xaxes(title_text="environment steps", row=len(panels), col=1)

    def add(self, panel: str, trace: Any) -> None:
        row = self._panels.index(panel) + 1
        self.figure.add_trace(trace.update(legend=_numbered("legend", row)), row=row, col=1)

    def line(self, panel: str, y: np.ndarray, name: str, color: str, **style: Any) -> None:
        width = {"dash": style.pop("dash", "solid"), "shape": style.pop("shape", "linear")}
        mode = "lines" if len(y) > 30 or width["dash"] != "solid" else "lines+markers"
        line = {"color": color, "width": 1.5, **width}
        scatter = self._go.Scatter(
            x=self._x, y=y.tolist(), name=name, mode=mode, line=line, showlegend=True, marker={"size": 4}, **style
        )
        self.add(panel, scatter)

    def axis(self, panel: str, **style: Any) -> None:
        self.figure.update_yaxes(row=self._panels.index(panel) + 1, col=1, **style)


def figure(records: Records, evaluations: Sequence[Mapping[str, Any]], *, base_sample_size: int, color: str) -> str:
    """The panels as HTML with plotly's script, which needs no network.

    Args:
      records: lines of metrics.jsonl; quantities that earlier versions did not write have no panel.
      evaluations: lines of evaluations.jsonl.
      base_sample_size: X.
      color: colour of the algorithm, that of what has none of its own.

    Raises:
      ValueError: plotly is not installed.
    """
    try:
        import plotly  # noqa: F401
    except ImportError:
        raise ValueError('a report needs the package plotly: pip install "espo_jax[report]"') from None
    learning = _learning(records, color)
    drawn = _Figure(series(records, "env_steps")[:, 0], [p for p in _PANELS if p in learning or p in list(_PANELS)[:5]])
    drawn.line("reward", series(records, "episode_reward")[:, 0], "in training", color)
    _cost(drawn, records, color)
    _evaluations(drawn, evaluations)
    size = series(records, "sample_size")[:, 0]
    drawn.line("samples", size, "of an iteration", color, shape="vh")
    drawn.line("samples", np.full(len(size), base_sample_size), f"X = {base_sample_size:,}", GREY, dash="dash")
    drawn.axis("samples", range=[0, 1.2 * max(size.max(), base_sample_size)])
    drawn.line("angle, °", series(records, "conflict_angle")[:, 0], "of reward and cost steps", color)
    drawn.line("angle, °", np.full(len(size), 90), "conflict above 90°", LIGHT_GREY, dash="dot")
    drawn.axis("angle, °", range=[0, 180], tickvals=[0, 90, 180])
    _modes(drawn, records)
    for panel, lines in learning.items():
        for name, (values, own) in lines.items():
            drawn.line(panel, values, name, own)
    if "critic loss" in learning:
        drawn.axis("critic loss", type="log", tickformat="~g", nticks=5)
    shown: str = drawn.figure.to_html(
        full_html=False, include_plotlyjs=True, div_id="curves", config={"displayModeBar": False, "responsive": True}
    )
    return shown


def _learning(records: Records, color: str) -> dict[str, dict[str, tuple[np.ndarray, str]]]:
    """Panel -> name of the line -> (values, colour), of what the update reports; multipliers if there are any."""
    found: dict[str, dict[str, tuple[np.ndarray, str]]] = {}
    for panel, field in (("KL, nats", "kl"), ("entropy, nats", "entropy")):
        if all(field in line for line in records):
            name = "new from old policy" if field == "kl" else "old policy"
            found[panel] = {name: (series(records, field)[:, 0], color)}
    if all("multiplier" in line for line in records) and (values := series(records, "multiplier")).any():
        found["multiplier"] = _of_constraints(values, "of the cost", color)
    if all("critic_loss" in line for line in records):
        values = series(records, "critic_loss")
        values = np.where(values > 0, values, np.nan)  # the axis is logarithmic
        costs = _of_constraints(values[:, 1:], "of the cost", COST_COLORS[0])
        found["critic loss"] = {"of the reward": (values[:, 0], BLACK), **costs}
    return found


def _of_constraints(values: np.ndarray, name: str, color: str) -> dict[str, tuple[np.ndarray, str]]:
    several = values.shape[1] > 1
    return {
        f"{name} {k + 1}" if several else name: (column, COST_COLORS[k % len(COST_COLORS)] if several else color)
        for k, column in enumerate(values.T)
    }


def _cost(drawn: _Figure, records: Records, own: str) -> None:
    cost, limit = series(records, "episode_cost"), series(records, "cost_limit")
    low, high = (limit + series(records, name) for name in ("slack_negative", "slack_positive"))
    several, top = cost.shape[1] > 1, cost_top(cost, limit)
    for k in range(cost.shape[1]):
        of, color = (f" {k + 1}", COST_COLORS[k % len(COST_COLORS)]) if several else ("", COST_COLORS[0])
        # An infinite edge of the band is drawn at the edge of the picture.
        for edge, fill in ((low, None), (high, "tonexty")):
            style = {"fill": fill, "fillcolor": f"rgba({_rgb(color)},0.12)", "hoverinfo": "skip"}
            drawn.line("cost", np.clip(edge[:, k], 0, top), f"band{of}", "rgba(0,0,0,0)", dash="2px", **style)
        drawn.figure.data[-2].showlegend = False
        drawn.line("cost", limit[:, k], f"limit{of} {limit[-1, k]:g}", color, dash="dash")
        drawn.line("cost", cost[:, k], f"in training{of}", color if several else own)
    drawn.axis("cost", range=[0, top])


def _evaluations(drawn: _Figure, evaluations: Sequence[Mapping[str, Any]]) -> None:
    """Rewards and costs of the policy's mean in fresh episodes, as diamonds."""
    for panel in ("reward", "cost") if evaluations else ():
        values = np.array([np.atleast_1d(e[panel]) for e in evaluations], float)
        for k, column in enumerate(values.T):
            color = COST_COLORS[k % len(COST_COLORS)] if values.shape[1] > 1 else BLACK
            trace = drawn._go.Scatter(
                x=[e["env_steps"] for e in evaluations], y=column.tolist(), mode="markers", showlegend=True,
                name=f"deterministic{f' {k + 1}' if values.shape[1] > 1 else ''}",
                marker={"symbol": "diamond", "size": 8, "color": color},
            )  # fmt: skip
            drawn.add(panel, trace)


def _modes(drawn: _Figure, records: Records) -> None:
    codes = [MODE_NAMES.index(r["mode"]) for r in records]
    scale = [[i / len(MODE_COLORS), c] for j, c in enumerate(MODE_COLORS) for i in (j, j + 1)]
    edges = [drawn._x[0] - records[0]["sample_size"], *drawn._x]
    trace = drawn._go.Heatmap(
        x=edges, y=[""], z=[codes], customdata=[[r["mode"] for r in records]], colorscale=scale,
        showscale=False, zmin=-0.5, zmax=len(MODE_COLORS) - 0.5,
        hovertemplate="%{customdata}<extra>mode</extra>", name="mode",
    )  # fmt: skip
    drawn.add("mode", trace)
    for code, (name, color) in enumerate(zip(MODE_NAMES, MODE_COLORS, strict=True)):
        marker = {"symbol": "square", "size": 11, "color": color}
        share = np.mean(np.array(codes) == code)
        entry = drawn._go.Scatter(
            x=[None], y=[""], mode="markers", marker=marker, name=f"{name} {share:.0%}", showlegend=True
        )
        drawn.add("mode", entry)


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}{number}"


def _rgb(color: str) -> str:
    return ",".join(str(int(color[i : i + 2], 16)) for i in (1, 3, 5))
