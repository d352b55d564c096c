"""One run from checked settings to a full run directory."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from rich.console import Console, Group
from rich.table import Table

from espo_jax.algorithms.types import TrainState
from espo_jax.training import plots, run_directory
from espo_jax.training.checkpoints import Checkpoints
from espo_jax.training.evaluation import evaluator
from espo_jax.training.job import Job
from espo_jax.training.loop import IterationError, NegativeCostError, iterate, start
from espo_jax.training.progress import clock_time, number, progress
from espo_jax.training.run_directory import BEST_POLICY, CURVES, RESULT
from espo_jax.training.signals import Stop, finish_first

FINISHED, INTERRUPTED, NONFINITE, NEGATIVE_COST = "finished", "interrupted", "nonfinite", "negative_cost"
STOCHASTIC, DETERMINISTIC = POLICIES = ("stochastic", "deterministic")


def execute(job: Job, console: Console) -> dict[str, Any]:
    """Train, and leave metrics.jsonl, checkpoints, policy.npz, curves.png and result.json behind, however it ends.

    Ctrl-C and SIGTERM finish the iteration, save and stop; nan, infinity or a negative cost stop the run; all keep
    what was there before.

    Args:
      job: from `job.prepare` or `job.resume`.
      console: shows the progress.

    Returns:
      What result.json holds: status ("finished", "interrupted", "nonfinite" or "negative_cost"), signal, message,
      iterations,
      env_steps, fixed_env_steps (what fixed X would have used), training (reward, cost, ...), evaluation (the same of
      fresh episodes, by stochastic and deterministic policy), cost_limit, limit_met by each of the three, best_safe
      (iteration and reward of the best safe checkpoint), seconds (of all iterations) and compile_seconds.

    Raises:
      CheckpointError: a checkpoint could not be written; those before it are whole.
      OSError: another file could not be.
    """
    train_key, eval_key = jax.random.split(jax.random.key(job.about.seed))
    directory, restored = job.directory, job.restored
    status, message = FINISHED, ""
    state: TrainState | None = restored.state if restored else None
    compile_seconds = 0.0
    evaluate = Evaluations(job, eval_key)
    _announce(job, console)
    with (
        finish_first() as stop,
        contextlib.closing(directory),
        contextlib.closing(job.checkpoints()) as checkpoints,
    ):
        try:
            started = start(job.algorithm, job.hyperparams, train_key, state)
            state, compile_seconds = started.state, started.compile_seconds
            if restored is None:
                checkpoints.save(state, None)
                checkpoints.wait()  # a disk that takes none stops the run here, before training
            stop.check()
            done = job.budget.fraction(int(state.iteration), int(state.env_steps))
            with progress(console, job.budget, done) as display:
                for iteration in iterate(started.step, state, job.hyperparams, job.budget):
                    state = iteration.state
                    directory.append(run_directory.record(iteration.metrics, iteration.seconds))
                    record = directory.records[-1]
                    evaluate.at(record, state)  # a checkpoint comes last: nothing before it comes again
                    if checkpoints.due(record["iteration"]):
                        save(job, checkpoints, state)
                    display.update(record)
                    stop.check()
        except KeyboardInterrupt:
            status = INTERRUPTED
            message = f"interrupted by {_name(stop)} after iteration {len(directory.records)}"
        except IterationError as error:
            status = NEGATIVE_COST if isinstance(error, NegativeCostError) else NONFINITE
            message = str(error)
        if state is not None:
            save(job, checkpoints, state)
        checkpoints.wait()
        evaluation: dict[str, Any] = {}
        if status == FINISHED and state is not None and job.about.num_eval_episodes:
            try:
                for policy in POLICIES:
                    stop.check()
                    evaluation[policy] = evaluate.now(state, policy, eval_key)
            except KeyboardInterrupt:
                status, evaluation = INTERRUPTED, {}
                message = f"interrupted by {_name(stop)} before the last evaluation"
        result: dict[str, Any] = {
            "status": status,
            "signal": stop.received.name if stop.received else None,
            "message": message,
            "iterations": len(directory.records),
            "seconds": sum(r["sample_size"] / r["steps_per_second"] for r in directory.records),
            "compile_seconds": compile_seconds,
            "best_safe": checkpoints.best._asdict() if checkpoints.best else None,
        }
        if directory.records:
            base_sample_size = job.algorithm.config.base_sample_size
            plots.curves(directory.records, directory.path / CURVES, base_sample_size=base_sample_size, title=job.title)
            result |= _training_result(directory.records, base_sample_size)
            if evaluation:
                result["evaluation"] = evaluation
                met = {policy: _met(of["cost"], result["cost_limit"]) for policy, of in evaluation.items()}
                result["limit_met"] |= met
        directory.write_json(RESULT, result)
    return result


def summary(result: Mapping[str, Any], path: Path) -> Group:
    """The table at the end of a run, to print with rich."""
    table = Table(title="Reward and cost of an episode (± standard deviation)", title_justify="left")
    for column in ("policy", "reward", "cost", "limit", "met"):
        table.add_column(column)
    limit = number(result["cost_limit"])
    training = result["training"]
    table.add_row(
        f"in training, {training['samples']:,} samples",
        number(training["reward"]), number(training["cost"]), limit, _yes_or_no(result["limit_met"]["training"]),
    )  # fmt: skip
    for policy, evaluation in result.get("evaluation", {}).items():
        table.add_row(
            f"{policy}, {evaluation['episodes']} new episodes",
            f"{number(evaluation['reward'])} ± {number(evaluation['reward_std'])}",
            f"{number(evaluation['cost'])} ± {number(evaluation['cost_std'])}",
            limit, _yes_or_no(result["limit_met"][policy]),
        )  # fmt: skip
    used, fixed = result["env_steps"], result["fixed_env_steps"]
    difference = f"{abs(1 - used / fixed):.1%} {'fewer' if used <= fixed else 'more'}"
    facts = Table.grid(padding=(0, 2))
    facts.add_row("samples", f"{used:,} in {result['iterations']} iterations; fixed X: {fixed:,} ({difference})")
    facts.add_row("time", f"{clock_time(result['seconds'])}, and {clock_time(result['compile_seconds'])} to compile")
    facts.add_row("run directory", str(path))
    return Group(table, facts)


class Evaluations:
    """Fresh episodes of the policy as it is: at intervals while training, and at the end."""

    def __init__(self, job: Job, key: jax.Array):
        """Compiles nothing before it is needed."""
        self._job, self._key = job, key
        self._programs: dict[str, Any] = {}

    def at(self, record: Mapping[str, Any], state: TrainState) -> None:
        """After an iteration: a line of evaluations.jsonl where one is due."""
        about, iteration = self._job.about, record["iteration"]
        if about.num_eval_episodes and about.eval_interval and iteration % about.eval_interval == 0:
            values = self.now(state, DETERMINISTIC, jax.random.fold_in(self._key, iteration))
            self._job.directory.append_evaluation(
                {"iteration": iteration, "env_steps": record["env_steps"], "policy": DETERMINISTIC, **values}
            )

    def now(self, state: TrainState, policy: str, key: jax.Array) -> dict[str, Any]:
        """Means and standard deviations over episodes of a policy, by POLICIES: as trained, or its mean."""
        job, algorithm = self._job, self._job.algorithm
        if policy not in self._programs:
            self._programs[policy] = jax.jit(
                evaluator(
                    job.env,
                    algorithm.make_inference_fn,
                    num_episodes=job.about.num_eval_episodes,
                    episode_length=algorithm.config.episode_length,
                    action_repeat=algorithm.config.action_repeat,
                    deterministic=policy == DETERMINISTIC,
                )
            )
        evaluation = jax.device_get(self._programs[policy](algorithm.params(state), key))
        values = {name: value.squeeze().tolist() for name, value in evaluation._asdict().items()}
        return {"episodes": job.about.num_eval_episodes, **values}


def save(job: Job, checkpoints: Checkpoints, state: TrainState) -> None:
    """A checkpoint, and the policy in it as an artefact."""
    record = job.directory.records[-1] if job.directory.records else None
    job.directory.sync()
    is_best = checkpoints.save(state, record)
    params = job.algorithm.params(state)
    job.directory.save_params(params)
    if is_best:
        job.directory.save_params(params, BEST_POLICY)


def _name(stop: Stop) -> str:
    return stop.received.name if stop.received else "SIGINT"


def _announce(job: Job, console: Console) -> None:
    """What runs where, and what its owner should know before."""
    restored = job.restored
    goes_on = f", going on after iteration {restored.iteration}" if restored else ""
    console.print(
        f"{job.title}: compiling{goes_on}; run directory {job.directory.path}", highlight=False, soft_wrap=True
    )
    for note in restored.notes if restored else ():
        console.print(f"note: {note}", highlight=False, soft_wrap=True)
    if (warmup := float(job.hyperparams.warmup_iterations)) >= float(job.hyperparams.num_iterations):
        console.print(f"note: all iterations are warm-up (warmup_iterations is {warmup:g}); the limit will not count")


def _training_result(records: list[dict[str, Any]], base_sample_size: int) -> dict[str, Any]:
    last = records[-1]
    return {
        "env_steps": last["env_steps"],
        "fixed_env_steps": len(records) * base_sample_size,
        "cost_limit": last["cost_limit"],
        "training": {
            "reward": last["episode_reward"],
            "cost": last["episode_cost"],
            "samples": last["sample_size"],
            "episodes_finished": last["episodes_finished"],
        },
        "limit_met": {"training": _met(last["episode_cost"], last["cost_limit"])},
    }


def _met(cost: float | list[float], limit: float | list[float]) -> bool:
    costs, limits = (x if isinstance(x, list) else [x] for x in (cost, limit))
    return all(cost <= limit for cost, limit in zip(costs, limits, strict=True))


def _yes_or_no(met: bool) -> str:
    return "[green]yes[/green]" if met else "[red]no[/red]"
