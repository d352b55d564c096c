"""The web page of a run, which needs no network: summary, curves, modes, config, an episode that plays."""

import html
import importlib.resources
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from matplotlib.colors import to_hex

from espo_jax.modes import MODE_NAMES
from espo_jax.results import episode
from espo_jax.results.evaluated import summarize_training
from espo_jax.results.read import Records, Run, read_run
from espo_jax.results.safety_table import OF_EPISODES, OF_TRAINING, episode_cells, training_cells
from espo_jax.results.task import task_of
from espo_jax.runs import files, policies
from espo_jax.runs.colors import BLACK, COST_COLORS, GREY, LIGHT_GREY, MODE_COLORS, colors_of
from espo_jax.runs.output import clean
from espo_jax.runs.progress import clock_time, number
from espo_jax.runs.records import read_evaluations, readable, series
from espo_jax.runs.run_directory import CONFIG, EVALUATIONS, RESULT

_MOST_FRAMES = 500
_KINDS = {
    int(mujoco.mjtGeom.mjGEOM_SPHERE): "sphere",
    int(mujoco.mjtGeom.mjGEOM_CAPSULE): "capsule",
    int(mujoco.mjtGeom.mjGEOM_CYLINDER): "capsule",
    int(mujoco.mjtGeom.mjGEOM_ELLIPSOID): "sphere",
}
# Directions of the page's right and up in the world. Robots that walk along x are seen from the side.
_VIEWS = {"side": ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0)), "above": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))}
_SEEN_FROM_ABOVE = ("reacher", "pusher", "swimmer")


def write(run_dir: Path, output: Path, *, seed: int = 0, best_safe: bool = False, env: Any = None) -> None:
    """Write the page of a run.

    Args:
      run_dir: folder of the run.
      output: path of the page.
      seed: seed of the episode that plays.
      best_safe: whether the best checkpoint within the limits plays instead of the last policy.
      env: environment to use in place of the run's task; without a model there is no episode in the page.

    Raises:
      ValueError: the run cannot be read, or plotly is not installed.
      OSError: the page cannot be written.
    """
    run = read_run(run_dir)
    result = files.infinities(files.read_json(run_dir / RESULT)) if (run_dir / RESULT).exists() else {}
    evaluations = readable(read_evaluations(run_dir / EVALUATIONS)) if (run_dir / EVALUATIONS).exists() else []
    try:
        summary = _summary(run, result)
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise files.DamagedError(f"{run_dir / RESULT} does not hold the result of a run ({error!r})") from None
    title = run.config.title
    template = (importlib.resources.files("espo_jax.results") / "report.html").read_text(encoding="utf-8")
    parts = {
        "title": html.escape(clean(title)),
        "summary": summary,
        "safety": _safety(run.records, run_dir / f"eval-{'best-safe' if best_safe else 'last'}.json"),
        "figure": _figure(run.records, evaluations, to_hex(colors_of([run.config.options.algorithm])[0])),
        "settings": _rows(run.config.settings()),
        "surroundings": _rows(_surroundings(files.read_json(run_dir / CONFIG))),
        "episode": _script_json(_episode(run, run_dir, seed, best_safe, env)),
        "modes": _script_json(dict(zip(MODE_NAMES, MODE_COLORS, strict=True))),
    }
    for name, text in parts.items():
        template = template.replace(f"<!--{name}-->", text)
    files.write(output, template.encode())


def _summary(run: Run, result: Mapping[str, Any]) -> str:
    """The table at the end of a run, as HTML."""
    last = run.records[-1]
    fixed = last["iteration"] * run.config.config["base_sample_size"]
    limit = number(last["cost_limit"])
    rows = [("in training (V_c)", number(last["episode_reward"]), number(last["episode_cost"]), limit)]
    evaluation = result.get("evaluation")
    for policy, values in evaluation.items() if isinstance(evaluation, dict) else ():
        reward = f"{number(values['reward'])} ± {number(values['reward_std'])}"
        cost = f"{number(values['cost'])} ± {number(values['cost_std'])}"
        rows.append((f"{policy}, {values['episodes']} new episodes", reward, cost, limit))
    head = "<tr><th>policy</th><th>reward (± standard deviation)</th><th>cost</th><th>limit</th></tr>"
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows)
    seconds = result.get("seconds")
    facts = {
        "status": result.get("status", "not finished"),
        "iterations": last["iteration"],
        "samples": f"{last['env_steps']:,} ({last['env_steps'] / fixed:.1%} of fixed X)",
        "time": clock_time(seconds) if isinstance(seconds, int | float) else "",
        "best safe checkpoint": _best_safe(result.get("best_safe")),
    }
    return f"<table>{head}{body}</table><table>{_rows(facts)}</table>"


def _best_safe(best: Any) -> str:
    return f"iteration {best['iteration']}, reward {number(best['reward'])}" if isinstance(best, dict) else "none"


def _safety(records: Records, evaluation: Path) -> str:
    """The measures of safety as HTML: of training, and of the fresh episodes if `espo eval` was called.

    Raises:
      DamagedError: the file of the evaluation cannot be used.
    """
    trained = training_cells("", {"training": summarize_training([records])})
    facts = {name: text for name, text in trained.items() if text}
    facts["not recovered"] = "it ended above a limit" if facts["not recovered"] != "0" else "no"
    parts = [f"<table>{_rows(facts)}</table>"]
    if not evaluation.exists():
        text = f"{OF_TRAINING}. The rates and tails of new episodes stand here after: espo eval {evaluation.parent}"
        return "".join([*parts, f"<p>{html.escape(clean(text))}</p>"])
    try:
        rows = files.infinities(files.read_json(evaluation))["rows"]
        cells = [
            {"policy": row["policy"], "physics": row["backend"], "episodes": row["episodes"], **episode_cells(row)}
            for row in rows
            if "violation_rate" in row  # earlier versions did not write it
        ]
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise files.DamagedError(f"{evaluation} does not hold an evaluation ({error!r})") from None
    if cells:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in cells[0])
        body = "".join(
            f"<tr>{''.join(f'<td>{html.escape(clean(str(cell)))}</td>' for cell in row.values())}</tr>" for row in cells
        )
        parts.append(f"<table><tr>{head}</tr>{body}</table>")
    return "".join([*parts, f"<p>{html.escape(OF_TRAINING)}. {html.escape(OF_EPISODES)}</p>"])


def _figure(records: Records, evaluations: Sequence[Mapping[str, Any]], color: str) -> str:
    """Interactive curves by plotly, whose script is part of the page; lines have the colour of the algorithm."""
    try:
        import plotly.graph_objects as go
        from plotly.subplots import make_subplots
    except ImportError:
        raise ValueError('a report needs the package plotly: pip install "espo_jax[report]"') from None
    rows = ("reward", "cost", "samples", "angle, °", "mode")
    figure = make_subplots(len(rows), 1, shared_xaxes=True, vertical_spacing=0.03, row_heights=[3, 3, 2, 2, 1])
    x = series(records, "env_steps")[:, 0]

    def line(row: int, y: np.ndarray, name: str, **style: Any) -> None:
        figure.add_trace(go.Scatter(x=x.tolist(), y=y.tolist(), name=name, mode="lines", **style), row=row, col=1)

    line(1, series(records, "episode_reward")[:, 0], "reward in training", line={"color": color})
    cost, limit = series(records, "episode_cost"), series(records, "cost_limit")
    band = [limit + series(records, name) for name in ("slack_negative", "slack_positive")]
    for k in range(cost.shape[1]):
        of = f" {k + 1}" if cost.shape[1] > 1 else ""
        of_cost = COST_COLORS[k % len(COST_COLORS)] if of else color
        line(2, cost[:, k], f"cost{of} in training", line={"color": of_cost})
        line(2, limit[:, k], f"limit{of}", line={"dash": "dash", "color": GREY})
        for edge, name in zip(band, ("lower", "upper"), strict=True):
            if np.isfinite(edge[:, k]).all():
                line(2, edge[:, k], f"{name} edge of the band{of}", line={"dash": "dot", "color": LIGHT_GREY})
    for name, row in (("reward", 1), ("cost", 2)):
        if evaluations:
            values = np.array([np.atleast_1d(e[name]) for e in evaluations], float)
            steps = [e["env_steps"] for e in evaluations]
            for column in values.T:
                marker = {"symbol": "diamond", "size": 8, "color": BLACK}
                trace = go.Scatter(
                    x=steps, y=column.tolist(), name=f"{name}, deterministic", mode="markers", marker=marker
                )
                figure.add_trace(trace, row=row, col=1)
    line(3, series(records, "sample_size")[:, 0], "samples", line={"shape": "vh", "color": color})
    line(4, series(records, "conflict_angle")[:, 0], "angle", line={"color": color})
    codes = [MODE_NAMES.index(r["mode"]) for r in records]
    edges = [x[0] - records[0]["sample_size"], *x.tolist()]  # an iteration has the samples up to its end
    steps = [[i / len(MODE_COLORS), c] for j, c in enumerate(MODE_COLORS) for i in (j, j + 1)]
    modes = go.Heatmap(
        x=edges, y=["mode"], z=[codes], customdata=[[r["mode"] for r in records]], colorscale=steps,
        showscale=False, zmin=-0.5, zmax=len(MODE_COLORS) - 0.5,
        hovertemplate="%{x} steps: %{customdata}<extra></extra>", name="mode",
    )  # fmt: skip
    figure.add_trace(modes, row=5, col=1)
    for row, name in enumerate(rows, start=1):
        figure.update_yaxes(title_text=name if name != "mode" else "", row=row, col=1)
    top = 1.1 * max(2 * limit.max(), np.nanmax(cost[len(cost) // 2 :]))
    figure.update_yaxes(range=[0, top], row=2, col=1)
    figure.update_yaxes(range=[0, 180], tickvals=[0, 90, 180], row=4, col=1)
    figure.update_xaxes(title_text="environment steps", row=len(rows), col=1)
    figure.update_layout(height=950, template="plotly_white", hovermode="x unified", margin={"t": 20, "r": 20})
    shown: str = figure.to_html(full_html=False, include_plotlyjs=True, div_id="curves")
    return shown


def _episode(run: Run, run_dir: Path, seed: int, best_safe: bool, env: Any) -> dict[str, Any] | None:
    """Data of the player: outlines of the geoms for each frame, in millimetres, in the plane of the page."""
    if env is None:
        env = task_of(run.config)
    if not hasattr(env, "task"):
        return None
    config, networks, params = policies.load(run_dir, best_safe=best_safe)
    seen = episode.record(env, networks, config, params, seed=seed)
    position, axis = seen.geom_poses()
    model = seen.model
    shown = [g for g in range(model.ngeom) if int(model.geom_type[g]) in _KINDS and model.geom_rgba[g, 3] > 0]
    stride = -(-len(position) // _MOST_FRAMES)
    view = "above" if any(name in env.task.model for name in _SEEN_FROM_ABOVE) else "side"
    plane = np.array(_VIEWS[view])
    half = np.array([model.geom_size[g, 1] if _KINDS[int(model.geom_type[g])] == "capsule" else 0.0 for g in shown])
    arm = half[None, :, None] * axis[::stride, shown]
    ends = [np.einsum("tgi,pi->tgp", position[::stride, shown] + sign * arm, plane) for sign in (-1, 1)]
    outline = np.rint(1000 * np.concatenate(ends, axis=-1)).astype(int)  # [F, G, x1 y1 x2 y2]
    start = np.zeros((1, seen.cost.shape[1]))
    return {
        "view": view,
        "policy": "best safe" if best_safe else "last",
        "seconds": (np.arange(0, len(position), stride) * seen.dt).round(4).tolist(),
        "radius": [round(1000 * float(model.geom_size[g, 0])) for g in shown],
        "frames": outline.reshape(len(outline), -1).tolist(),
        "reward": np.concatenate([[0.0], np.cumsum(seen.reward)])[::stride].round(3).tolist(),
        "cost": np.concatenate([start, np.cumsum(seen.cost, axis=0)])[::stride].round(3).tolist(),
        "velocity": np.concatenate([[0.0], seen.speed])[::stride].round(3).tolist(),
    }


def _surroundings(config: Mapping[str, Any]) -> dict[str, Any]:
    versions, device = config.get("versions"), config.get("device")
    return {
        **(versions if isinstance(versions, dict) else {}),
        **({f"device {k}": v for k, v in device.items()} if isinstance(device, dict) else {}),
        **{name: config.get(name) for name in ("machine", "backend", "reward", "preset", "command", "git_revision")},
    }


def _rows(values: Mapping[str, Any]) -> str:
    def text(value: Any) -> str:
        return " ".join(map(str, value)) if isinstance(value, list) else str(value)

    cells = ((html.escape(clean(str(name))), html.escape(clean(text(value)))) for name, value in values.items())
    return "".join(f"<tr><td>{name}</td><td>{value}</td></tr>" for name, value in cells)


def _script_json(value: Any) -> str:
    """The value as JSON that cannot end the script that it stands in."""
    return json.dumps(files.strict(value), allow_nan=False).replace("<", "\\u003c")
