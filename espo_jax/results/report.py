"""The web page of a run, which needs no network: summary, curves, modes, config, an episode that plays."""

import html
import importlib.resources
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import to_hex

from espo_jax.results.evaluated import summarize_training
from espo_jax.results.read import Records, Run, read_run
from espo_jax.results.report_figure import figure
from espo_jax.results.report_player import played_episode
from espo_jax.results.safety_table import OF_EPISODES, OF_TRAINING, episode_cells, training_cells
from espo_jax.runs import files
from espo_jax.runs.colors import colors_of
from espo_jax.runs.output import clean
from espo_jax.runs.progress import clock_time, number
from espo_jax.runs.records import read_evaluations, readable
from espo_jax.runs.run_directory import CONFIG, EVALUATIONS, RESULT

SECONDS = 20.0  # of simulated time: a few strides of every robot, and a page that stays small


def write(
    run_dir: Path, output: Path, *, seed: int = 0, best_safe: bool = False, seconds: float = SECONDS, env: Any = None
) -> None:
    """Write the page of a run.

    Args:
      run_dir: folder of the run.
      output: path of the page.
      seed: seed of the episode that plays.
      best_safe: whether the best checkpoint within the limits plays instead of the last policy.
      seconds: largest length of the episode that plays, in seconds of simulated time.
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
        "figure": figure(
            run.records,
            evaluations,
            base_sample_size=run.config.config["base_sample_size"],
            color=to_hex(colors_of([run.config.options.algorithm])[0]),
        ),
        "settings": _rows(run.config.settings()),
        "surroundings": _rows(_surroundings(files.read_json(run_dir / CONFIG))),
        "episode": _script_json(played_episode(run, run_dir, seed=seed, best_safe=best_safe, seconds=seconds, env=env)),
    }
    for name, text in parts.items():
        template = template.replace(f"<!--{name}-->", text)
    files.write(output, template.encode())


def _summary(run: Run, result: Mapping[str, Any]) -> str:
    """Whether the limit is met, and the table at the end of a run, as HTML."""
    last = run.records[-1]
    fixed = last["iteration"] * run.config.config["base_sample_size"]
    limit = number(last["cost_limit"])
    met = {"in training (V_c)": _is_met(last["episode_cost"], last["cost_limit"])}
    rows = [("in training (V_c)", number(last["episode_reward"]), number(last["episode_cost"]))]
    evaluation = result.get("evaluation")
    for policy, values in evaluation.items() if isinstance(evaluation, dict) else ():
        name = f"{policy}, {values['episodes']} new episodes"
        met[name] = _is_met(values["cost"], last["cost_limit"])
        reward = f"{number(values['reward'])} ± {number(values['reward_std'])}"
        rows.append((name, reward, f"{number(values['cost'])} ± {number(values['cost_std'])}"))
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(str(cell))}</td>' for cell in (*row, limit))}{_yes_or_no(met[row[0]])}</tr>"
        for row in rows
    )
    head = "<tr><th>policy</th><th>reward</th><th>cost</th><th>limit</th><th>met</th></tr>"
    seconds = result.get("seconds")
    facts = {
        "status": result.get("status", "not finished"),
        "iterations": last["iteration"],
        "samples": f"{last['env_steps']:,} ({last['env_steps'] / fixed:.1%} of fixed X)",
        "time": clock_time(seconds) if isinstance(seconds, int | float) else "",
        "best safe checkpoint": _best_safe(result.get("best_safe")),
    }
    return (
        f"{_verdict(met, limit)}<div class=wide><table>{head}{body}</table></div>"
        f"<p class=note>Reward and cost of an episode, ± standard deviation.</p><table>{_rows(facts)}</table>"
    )


def _verdict(met: Mapping[str, bool], limit: str) -> str:
    """One line: whether the cost limit is met, by which policies if not by all."""
    kept = [html.escape(name) for name, each in met.items() if each]
    if len(kept) == len(met):
        return f'<p class="verdict met">✓ Cost limit {limit}: met</p>'
    if not kept:
        return f'<p class="verdict unmet">✗ Cost limit {limit}: not met</p>'
    return f'<p class="verdict unmet">✗ Cost limit {limit}: met only by {"; ".join(kept)}</p>'


def _yes_or_no(met: bool) -> str:
    return f"<td class={'met' if met else 'unmet'}>{'yes' if met else 'no'}</td>"


def _is_met(cost: Any, limit: Any) -> bool:
    return bool(np.all(np.atleast_1d(cost) <= np.atleast_1d(limit)))


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
