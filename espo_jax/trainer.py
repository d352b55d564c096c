"""`make` and `train` of every algorithm: `Trainer`, from an update rule."""

import dataclasses
import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Unpack

import jax

from espo_jax import algorithms, own_code, presets
from espo_jax.algorithms import iteration
from espo_jax.algorithms.checks import Rule
from espo_jax.algorithms.iteration import Algorithm
from espo_jax.algorithms.types import UpdateRule
from espo_jax.config import Config
from espo_jax.hyperparams import Hyperparams
from espo_jax.loop import Budget, iterate, start
from espo_jax.parallel import over_devices
from espo_jax.presets import resolve
from espo_jax.reports import Evenly, PolicyParamsFn, ProgressFn
from espo_jax.runs import train_recorded
from espo_jax.runs.options import RunOptions
from espo_jax.runs.warm_start import warm_started
from espo_jax.settings import require_int, settings_of
from espo_jax.train_arguments import (
    AUTO,
    OF_A_NAME,
    Asked,
    environment_of,
    horizon_of,
    name_of_rule,
    recorded_options,
)
from espo_jax.train_settings import ARGUMENTS, TrainSettings

_OPTIONS = tuple(name for name in settings_of(RunOptions) if name not in ARGUMENTS)


class TrainResult(NamedTuple):
    """What Brax's train functions return.

    Args:
      make_inference_fn: (params, deterministic=False) -> policy(obs, key) -> (action, extras).
      params: (normalizer, policy, critics).
      metrics: the last metrics: numbers, or arrays [K] with several constraints. Those of eval/ are episode_reward,
        episode_cost and episode_length, each also with _std, of fresh whole episodes. Those of training/ are sps (steps
        per second), walltime (seconds of training without compilation) and every field of `algorithms.metrics.Metrics`
        for the last iteration, such as mode, conflict_angle, sample_size.
    """

    make_inference_fn: Callable[..., Callable]
    params: tuple[Any, Any, Any]
    metrics: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Trainer:
    """An algorithm that is ready to use: `espo_jax.espo`, `espo_jax.crpo` and so on, or one of your own.

    Attributes:
      rule: the update rule: which direction the algorithm takes.
    """

    rule: UpdateRule

    def make(self, env: Any, config: Config | None = None, sample_size_rule: Rule | None = None) -> Algorithm:
        """The algorithm on an environment: Algorithm(init, step).

        Args:
          env: environment with Brax's reset and step, reporting info["cost"] (`safety_envs.make`, or any through
            `safety_envs.SafetyWrapper`).
          config: static settings.
          sample_size_rule: how many samples are taken next, a name or a function from `sample_size.Evidence` to a
            size; None stands for the rule that the config names.

        Raises:
          ValueError: the environment has another interface, reports no cost, or has no episode length of its own and
            config none; or a setting makes no sense for the environment or the algorithm.
        """
        return iteration.make(env, config or Config(), self.rule, sample_size_rule)

    def train(
        self,
        environment: Any = None,
        *,
        preset: str = AUTO,
        num_timesteps: int | None = None,
        num_iterations: int | None = None,
        seed: int = 0,
        devices: int | None = None,
        sample_size_rule: Rule | None = None,
        progress_fn: ProgressFn = lambda num_steps, metrics: None,
        policy_params_fn: PolicyParamsFn = lambda num_steps, make_inference_fn, params: None,
        num_evals: int | None = None,
        num_eval_envs: int | None = None,
        deterministic_eval: bool = True,
        run_dir: str | None = None,
        resume: str | None = None,
        **settings: Unpack[TrainSettings],
    ) -> TrainResult:
        """Train on an environment, in the manner of Brax's train functions.

        With run_dir or resume it does what `espo train` does: it writes a run directory, on which every command works,
        and goes on with one. The environment must then be one that can be made again from its name.

        Args:
          environment: as for `make`, or the name of one: a task of `safety_envs`, or module:function of your own code.
            With resume it may be left out.
          preset: "paper" for the published settings of the task and the algorithm, see `presets.preset`, "none" for
            the defaults of Config and Hyperparams. "auto" is "paper", and prints which settings these are.
          num_timesteps: stop when this many samples are taken; the last iteration is completed.
          num_iterations: stop after this many iterations; without either it is the preset's.
          seed: seed of all randomness.
          devices: number of devices of this machine that the environments are spread over; 1 if not given.
          sample_size_rule: as for `make`.
          progress_fn: called with (samples so far, metrics) after every evaluation.
          policy_params_fn: called with (samples so far, make_inference_fn, params) after every evaluation.
          num_evals: number of evaluations, evenly spread, 10 if not given; the first one comes before any training
            unless it is the only one. A run directory has eval_interval instead.
          num_eval_envs: number of episodes of an evaluation, which run side by side, 16 if not given. A run directory
            has num_eval_episodes instead.
          deterministic_eval: whether evaluations act by the policy's mean instead of sampling.
          run_dir: folder that is created for the results.
          resume: run directory to go on with. The run keeps its settings; those that are given must be the same, unless
            they say when to stop, to save, to evaluate and where to log.
          **settings: fields of Config, Hyperparams and, for a run directory, of RunOptions (docs/settings.md). They
            stand above the preset. cost_limit defaults to the environment's own, and the horizon of the annealing to
            the largest number of iterations that the budget allows.

        Returns:
          TrainResult: make_inference_fn, params, metrics.

        Raises:
          ValueError: a setting or the environment is not usable; before any compilation.
          IterationError: nan or infinity (its state then holds the last good parameters), or a negative cost.
          Interrupted: a signal came while a run directory was written; it goes on with resume.
          OSError: a run directory cannot be written.
        """
        require_int("seed", seed, "[0, 2^31)")
        told = (progress_fn, policy_params_fn)
        given = {name: value for name, value in settings.items() if value is not None}
        options = {name: given.pop(name) for name in _OPTIONS if name in given}
        asked = Asked(preset, num_timesteps, num_iterations, seed, devices, sample_size_rule, given, options)
        is_other = num_evals is not None or num_eval_envs is not None or not deterministic_eval
        if is_other and (run_dir is not None or resume is not None):
            raise ValueError(
                "num_evals, num_eval_envs and deterministic_eval: a run directory has eval_interval and "
                "num_eval_episodes, and is evaluated by both policies"
            )
        if resume is not None:
            if run_dir is not None:
                raise ValueError("run_dir is the folder of a new run: it cannot be given with resume")
            changes = asked.changes()
            return TrainResult(*train_recorded.resume(resume, self._name(), environment, changes, *told))
        env, made_from = environment_of(environment, asked.options)
        flat = {**self._preset(preset, env, made_from), **asked.settings}
        flat["num_iterations"] = horizon_of(num_iterations, num_timesteps, flat)
        if run_dir is not None:
            flat["sample_size_rule"] = name_of_rule(sample_size_rule) or flat.get("sample_size_rule")
            chosen = {"algorithm": self._name(), "preset": presets.PAPER if preset == AUTO else preset}
            run_options = asked.run_options(run_dir=str(run_dir), **recorded_options(env, made_from), **chosen)
            return TrainResult(*train_recorded.train(env, flat, run_options, *told))
        algorithm, hyperparams, budget = self._prepare(env, flat, asked)
        num_evals = 10 if num_evals is None else num_evals
        evenly = Evenly(algorithm, env, num_evals, num_eval_envs or 16, deterministic_eval, *told)
        return _train(algorithm, hyperparams, budget, jax.random.key(seed), evenly)

    def _prepare(self, env: Any, flat: Mapping[str, Any], asked: Asked) -> tuple[Algorithm, Hyperparams, Budget]:
        """What trains without files, checked."""
        if unused := [name for name in asked.options if name not in (*OF_A_NAME, "init_from")]:
            raise ValueError(f"{unused[0]} is for a run directory: give run_dir too")
        by_samples = asked.num_timesteps is not None and asked.num_iterations is None
        budget = Budget.create(None if by_samples else flat["num_iterations"], asked.num_timesteps)
        config, values = resolve(flat, env)
        algorithm = self.make(env, config, asked.sample_size_rule)
        if "init_from" in asked.options:
            algorithm = warm_started(algorithm, Path(asked.options["init_from"]))
        algorithm, hyperparams = (
            over_devices(algorithm, asked.devices or 1),
            Hyperparams.create(**values, config=config),
        )
        algorithm.check(hyperparams)
        return algorithm, hyperparams, budget

    def _name(self) -> str:
        """The name by which a run directory finds the algorithm."""
        if algorithms.RULES.get(self.rule.name) is self.rule:
            return self.rule.name
        return own_code.name_of(f"algorithm {self.rule.name!r}", self.rule)

    def _preset(self, name: str, env: Any, made_from: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a preset, but for the limit, which the environment knows."""
        task = made_from.get("task")
        flat = presets.preset(presets.PAPER if name == AUTO else name, task, self.rule)
        if name == AUTO:
            what = task or f"an environment of your own ({type(env).__name__})"
            print(f'{self.rule.name}: settings of preset="paper" for {what}', file=sys.stderr)
        if getattr(env, "cost_limit", None) is not None:
            flat.pop("cost_limit", None)
        return flat


def _train(
    algorithm: Algorithm, hyperparams: Hyperparams, budget: Budget, key: jax.Array, evaluations: Evenly
) -> TrainResult:
    """Train without files."""
    train_key, evaluations.key = jax.random.split(key)
    started = start(algorithm, hyperparams, train_key)
    state = started.state
    evaluations.before(state)
    for finished in iterate(started.step, state, hyperparams, budget):
        state = finished.state
        evaluations.after(finished, budget)
    return TrainResult(algorithm.make_inference_fn, algorithm.params(state), evaluations.metrics)


def _named_arguments() -> inspect.Signature:
    """The signature of `train` with every setting by its name, for help() and for notebooks."""
    signature = inspect.signature(Trainer.train)
    kinds = typing.get_type_hints(TrainSettings)
    further = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in kinds.items()
    ]
    own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
    return signature.replace(parameters=[*own, *further])


Trainer.train.__signature__ = _named_arguments()  # type: ignore[attr-defined]
