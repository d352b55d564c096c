"""Constrained MDPs with few states: their exact values, and their optimum by a linear programme."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize


class CMDP(NamedTuple):
    """A constrained MDP with one constraint: maximise V_r subject to V_c <= b; both values are discounted.

    Args:
      transition: [S, A, S] probability of the next state.
      reward: [S, A] reward of a step.
      cost: [S, A] cost of a step.
      start: [S] distribution of the first state.
      discount: [] gamma in [0, 1).
      limit: [] b, of the discounted cost.
    """

    transition: jax.Array
    reward: jax.Array
    cost: jax.Array
    start: jax.Array
    discount: jax.Array
    limit: jax.Array


class Values(NamedTuple):
    """What a policy is worth.

    Args:
      q: [2, S, A] discounted Q of the reward and of the cost.
      value: [2] discounted V of the reward and of the cost, from the start.
      visits: [S] discounted share of the time in each state; it sums to 1.
    """

    q: jax.Array
    value: jax.Array
    visits: jax.Array


class Optimum(NamedTuple):
    """The best policy within the limit.

    Args:
      reward: V_r of it.
      cost: V_c of it.
      policy: [S, A] probabilities of its actions.
    """

    reward: float
    cost: float
    policy: np.ndarray


def evaluate(cmdp: CMDP, policy: jax.Array) -> Values:
    """Exact values of a policy.

        V = r_pi + gamma P_pi V,   Q = r + gamma P V,   d = (1 - gamma) start + gamma P_pi^T d

    Args:
      cmdp: the problem.
      policy: [S, A] probabilities of the actions.
    """
    signals = jnp.stack([cmdp.reward, cmdp.cost])
    move = jnp.einsum("sa,sat->st", policy, cmdp.transition)
    system = jnp.eye(move.shape[0]) - cmdp.discount * move
    of_state = jnp.linalg.solve(system, jnp.einsum("sa,ksa->sk", policy, signals)).T
    q = signals + cmdp.discount * jnp.einsum("sat,kt->ksa", cmdp.transition, of_state)
    visits = jnp.linalg.solve(system.T, (1 - cmdp.discount) * cmdp.start)
    return Values(q, of_state @ cmdp.start, visits)


def optimum(cmdp: CMDP, *, constrained: bool = True, of: str = "reward") -> Optimum:
    """The best policy, by the linear programme over the discounted number of visits of each state and action.

        max_x sum r x   subject to   sum_a x(s, a) - gamma sum P(s | s', a') x(s', a') = start(s),
                                     sum c x <= b,   x >= 0

    Args:
      cmdp: the problem.
      constrained: whether V_c <= b is demanded.
      of: "reward", or "cost" for the policy with the lowest cost.

    Raises:
      ValueError: `of` is neither, or no policy is within the limit.

    Reference: Altman 1999, Constrained Markov Decision Processes, chapter 3.
    """
    if of not in ("reward", "cost"):
        raise ValueError(f"of is '{of}': it must be 'reward' or 'cost'")
    transition, reward, cost, start, discount, limit = (np.asarray(field, np.float64) for field in cmdp)
    states, actions = reward.shape
    flow = np.repeat(np.eye(states), actions, axis=1) - discount * transition.reshape(-1, states).T
    bound = {"A_ub": cost.reshape(1, -1), "b_ub": [float(limit)]} if constrained else {}
    objective = (-reward if of == "reward" else cost).ravel()
    solved = scipy.optimize.linprog(objective, A_eq=flow, b_eq=start, method="highs", **bound)
    if not solved.success:
        raise ValueError(f"the linear programme has no solution: {solved.message}")
    visits = solved.x.reshape(states, actions)
    total = visits.sum(axis=1, keepdims=True)
    policy = np.where(total > 0, visits / np.where(total > 0, total, 1.0), 1.0 / actions)
    return Optimum(float(visits.ravel() @ reward.ravel()), float(visits.ravel() @ cost.ravel()), policy)


def random_cmdp(rng: np.random.Generator, states: int, actions: int, discount: float, tightness: float = 0.3) -> CMDP:
    """Transitions from Dirichlet(1), rewards and costs uniform in [0, 1]; the limit binds.

    Args:
      rng: source of the draws.
      states: S.
      actions: A.
      discount: gamma.
      tightness: where b lies between the lowest cost of all policies (0) and the cost of the policy with the highest
        reward (1).
    """
    transition = rng.dirichlet(np.ones(states), size=(states, actions))
    reward, cost = rng.uniform(size=(2, states, actions))
    unlimited = CMDP(transition, reward, cost, np.full(states, 1 / states), np.float64(discount), np.float64(np.inf))
    lowest = optimum(unlimited, constrained=False, of="cost").cost
    highest = optimum(unlimited, constrained=False).cost
    return unlimited._replace(limit=np.float64(lowest + tightness * (highest - lowest)))


def random_cmdps(seed: int, count: int, states: int, actions: int, discount: float) -> CMDP:
    """Random CMDPs, stacked along a first axis [N]."""
    rng = np.random.default_rng(seed)
    return stack([random_cmdp(rng, states, actions, discount) for _ in range(count)])


def bandit(reward: Sequence[float], cost: Sequence[float], limit: float, discount: float = 0.5) -> CMDP:
    """A CMDP with one state: A actions with a reward and a cost each; `limit` is b of the discounted cost."""
    actions = len(reward)
    fields = np.ones((1, actions, 1)), np.array([reward], float), np.array([cost], float), np.ones(1), discount, limit
    return CMDP(*(np.asarray(field, np.float64) for field in fields))


def corridor(states: int, discount: float) -> CMDP:
    """A walk along S states: moving on is rewarded at the end and costly in the middle, staying is worth a little.

    Action 0 moves on and succeeds in 9 of 10 trials, action 1 stays; the last state leads back to the first. The cost
    of moving on is 1 in the middle state, the reward of moving on is 1 in the last state, and staying has a reward of
    0.05 in every state.
    """
    transition = np.zeros((states, 2, states))
    for state in range(states):
        transition[state, 0, (state + 1) % states], transition[state, 0, state] = 0.9, 0.1
        transition[state, 1, state] = 1.0
    reward, cost = np.zeros((2, states, 2))
    reward[:, 1], reward[-1, 0], cost[states // 2, 0] = 0.05, 1.0, 1.0
    start = np.eye(states)[0]
    unlimited = CMDP(transition, reward, cost, start, np.float64(discount), np.float64(np.inf))
    highest = optimum(unlimited, constrained=False).cost
    return unlimited._replace(limit=np.float64(0.3 * highest))


def stack(cmdps: Sequence[CMDP]) -> CMDP:
    """CMDPs of equal sizes along a first axis."""
    return CMDP(*(np.stack(fields) for fields in zip(*cmdps, strict=True)))


def nth(cmdps: CMDP, index: int) -> CMDP:
    """One of stacked CMDPs."""
    return CMDP(*(field[index] for field in cmdps))


def optima(cmdps: CMDP) -> np.ndarray:
    """V_r of the best policy within the limit of each of stacked CMDPs: [N]."""
    return np.array([optimum(nth(cmdps, index)).reward for index in range(len(cmdps.limit))])
