"""One run, from checked settings to a full run directory."""

import contextlib
import dataclasses
from typing import Any

import jax

from espo_jax.algorithms.types import TrainState
from espo_jax.evaluation import DETERMINISTIC, POLICIES
from espo_jax.loop import IterationError, NegativeCostError, iterate, start
from espo_jax.reports import Reports
from espo_jax.runs import curves, output, result
from espo_jax.runs.checkpoints import Checkpoints
from espo_jax.runs.evaluations import Evaluations
from espo_jax.runs.output import Console
from espo_jax.runs.prepare import PreparedRun
from espo_jax.runs.progress import progress
from espo_jax.runs.records import record
from espo_jax.runs.result import FINISHED, INTERRUPTED, NEGATIVE_COST, NONFINITE
from espo_jax.runs.run_directory import BEST_POLICY, CURVES, RESULT
from espo_jax.runs.signals import Stop
from espo_jax.runs.stale import mark_stale
from espo_jax.runs.waiting import wait_for


@dataclasses.dataclass
class _Outcome:
    """How far a run has come, and how it ends.

    Attributes:
      state: the newest state; None before there is any.
      compile_seconds: time to compile the first state and the step.
      status, message: how the run ends; see `result`.
      error: what ended the run early.
      evaluation: results of fresh episodes at the end, by policy.
    """

    state: TrainState | None
    compile_seconds: float = 0.0
    status: str = FINISHED
    message: str = ""
    error: BaseException | None = None
    evaluation: dict[str, Any] = dataclasses.field(default_factory=dict)


def execute(
    run: PreparedRun,
    console: Console,
    stop: Stop | None = None,
    reports: Reports | None = None,
    raises: bool = False,
) -> dict[str, Any]:
    """Train, and leave metrics.jsonl, checkpoints, policy.npz, curves.png and result.json behind, however it ends.

    A signal that `stop` records ends the compilation at once and training after its iteration; then all is saved. Nan,
    infinity or a negative cost stop the run. What was there before is kept in every case.

    Args:
      run: from `prepare.new_run` or `prepare.resume`.
      console: shows the progress.
      stop: from `signals.finish_first`; None stands for no signals.
      reports: is told of iterations and evaluations.
      raises: whether what ended the run early is raised when all is saved.

    Returns:
      What result.json holds, see `result.result_of`.

    Raises:
      CheckpointError: a checkpoint could not be written; those before it are whole.
      OSError: another file could not be written.
      Interrupted, IterationError: as `raises` says.
    """
    stop = stop or Stop()
    train_key, eval_key = jax.random.split(jax.random.key(run.config.options.seed))
    directory = run.directory
    outcome = _Outcome(run.restored.state if run.restored else None)
    evaluations = Evaluations(run, eval_key)
    with contextlib.closing(directory), run.checkpoints() as checkpoints:
        try:
            _train(run, outcome, checkpoints, evaluations, stop, console, train_key, reports)
        except BaseException:
            with contextlib.suppress(OSError):  # what went wrong first is what is reported
                _save_last(run, outcome, checkpoints)
            raise
        stop.at_once = False
        _save_last(run, outcome, checkpoints)
        _evaluate(run, outcome, evaluations, stop)
        if reports and outcome.evaluation and outcome.state is not None:
            reports.evaluated(outcome.evaluation[DETERMINISTIC], outcome.state)
        found = _write_result(run, outcome, checkpoints, stop)
    if raises and outcome.error:
        raise outcome.error
    return found


def _write_result(run: PreparedRun, outcome: _Outcome, checkpoints: Checkpoints, stop: Stop) -> dict[str, Any]:
    """Write result.json and curves.png; returns what the first holds."""
    directory, size = run.directory, run.algorithm.config.base_sample_size
    found = result.result_of(
        directory.records,
        size,
        status=outcome.status,
        signal=stop.received.name if stop.received else None,
        message=outcome.message,
        lost_output=output.lost(),
        compile_seconds=outcome.compile_seconds,
        best_safe=checkpoints.best._asdict() if checkpoints.best else None,
        evaluation=outcome.evaluation,
    )
    directory.write_json(RESULT, found)
    if directory.records:
        about = {"title": run.config.title, "algorithm": run.config.options.algorithm}
        curves.draw(directory.records, directory.path / CURVES, base_sample_size=size, **about)
    return found


def _train(
    run: PreparedRun,
    outcome: _Outcome,
    checkpoints: Checkpoints,
    evaluations: Evaluations,
    stop: Stop,
    console: Console,
    key: jax.Array,
    reports: Reports | None,
) -> None:
    """All iterations; what ends them early is noted in the outcome."""
    directory, is_new = run.directory, outcome.state is None
    try:
        stop.check()
        _announce(run, console)
        started = wait_for(lambda: start(run.algorithm, run.hyperparams, key, outcome.state), console, "compiling")
        state = outcome.state = started.state
        outcome.compile_seconds = started.compile_seconds
        stop.at_once = False  # from here on files are written
        if is_new:
            checkpoints.save(state, None)
            checkpoints.wait()  # if the disk cannot take it, the run stops here, before training
        stop.check()
        done = run.budget.fraction(int(state.iteration), int(state.env_steps))
        with progress(console, run.budget, done) as display:
            for iteration in iterate(started.step, state, run.hyperparams, run.budget):
                line = record(iteration.metrics, iteration.seconds)
                directory.append(line)
                # Before the checkpoint, so that it is not done again.
                evaluation = evaluations.at(line, iteration.state)
                outcome.state = iteration.state  # all that belongs to it is written
                if run.restored and line["iteration"] == run.restored.iteration + 1:
                    for note in mark_stale(directory.path, run.restored.iteration):
                        console.print(f"note: {note}", soft_wrap=True)
                if reports:
                    reports.trained(iteration, evaluation)
                if checkpoints.due(line["iteration"]):
                    save(run, checkpoints, iteration.state)
                display.update(line)
                stop.check()
    except KeyboardInterrupt as error:
        done = 0 if outcome.state is None else int(outcome.state.iteration)
        outcome.status, outcome.error = INTERRUPTED, error
        outcome.message = f"{error or 'interrupted'} after iteration {done}"
    except IterationError as error:
        outcome.status, outcome.error = NEGATIVE_COST if isinstance(error, NegativeCostError) else NONFINITE, error
        outcome.message = str(error)


def _evaluate(run: PreparedRun, outcome: _Outcome, evaluations: Evaluations, stop: Stop) -> None:
    """Fresh episodes of the last policy, if the run is finished."""
    if outcome.status != FINISHED or outcome.state is None or not run.config.options.num_eval_episodes:
        return
    try:
        for policy in POLICIES:
            stop.check()
            outcome.evaluation[policy] = evaluations.now(outcome.state, policy)
    except KeyboardInterrupt as error:
        outcome.status, outcome.error, outcome.evaluation = INTERRUPTED, error, {}
        outcome.message = f"{error or 'interrupted'} before the last evaluation"


def _save_last(run: PreparedRun, outcome: _Outcome, checkpoints: Checkpoints) -> None:
    """Save the newest state, and wait until it is on the disk."""
    if outcome.state is not None:
        save(run, checkpoints, outcome.state)
    checkpoints.wait()


def save(run: PreparedRun, checkpoints: Checkpoints, state: TrainState) -> None:
    """Write a checkpoint, and the policy in it as an artefact."""
    last = run.directory.records[-1] if run.directory.records else {}
    line = last if last.get("iteration") == int(state.iteration) else None  # its line may not be readable
    run.directory.sync()
    is_best = checkpoints.save(state, line)
    params = run.algorithm.params(state)
    run.directory.save_params(params)
    if is_best:
        run.directory.save_params(params, BEST_POLICY)


def _announce(run: PreparedRun, console: Console) -> None:
    """Print what runs where, and what its owner should know before."""
    restored = run.restored
    goes_on = f", going on after iteration {restored.iteration}" if restored else ""
    console.print(f"{run.config.title}: compiling{goes_on}; run directory {run.directory.path}", soft_wrap=True)
    for note in restored.notes if restored else ():
        console.print(f"note: {note}", soft_wrap=True)
    if (warmup := float(run.hyperparams.warmup_iterations)) >= float(run.hyperparams.num_iterations):
        text = f"note: all iterations are warm-up (warmup_iterations is {warmup:g}); the limit will not count"
        console.print(text, soft_wrap=True)
