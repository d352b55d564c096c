"""Independent NumPy references, written from the papers in float64 loops; they import nothing of ours."""

import numpy as np


def gae(reward, value, next_value, terminated, truncated, discount, lam):
    """Schulman et al. 2016, eq. 16, backwards in time: [T]."""
    advantage = np.zeros(len(reward))
    running = 0.0
    for t in reversed(range(len(reward))):
        bootstrap = 0.0 if terminated[t] else next_value[t]
        delta = reward[t] + discount * bootstrap - value[t]
        cut = terminated[t] or truncated[t]
        running = delta + (0.0 if cut else discount * lam * running)
        advantage[t] = running
    return advantage


def gaussian_log_prob(mean, log_std, action):
    std = np.exp(log_std)
    return np.sum(-0.5 * ((action - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi), axis=-1)


def gaussian_kl(mean_p, log_std_p, mean_q, log_std_q):
    var_p, var_q = np.exp(2 * log_std_p), np.exp(2 * log_std_q)
    return np.sum(log_std_q - log_std_p + (var_p + (mean_p - mean_q) ** 2) / (2 * var_q) - 0.5, axis=-1)


def espo_mode(cost, limit, slack_positive, slack_negative):
    """PAPER.md section 2, one constraint: which rows of the table apply."""
    if cost > limit + slack_positive:
        return "cost"
    if cost < limit + slack_negative:
        return "reward"
    return "balance"


def espo_direction(mode, g_r, g_c, x_r):
    """PAPER.md section 2: the direction of each mode, and whether the gradients conflict."""
    x_c = 1 - x_r
    if mode == "cost":
        return g_c, False
    if mode == "reward":
        return g_r, False
    dot = float(g_r @ g_c)
    if dot >= 0:
        return x_r * g_r + x_c * g_c, False
    return x_r * (g_r - dot / (g_c @ g_c) * g_c) + x_c * (g_c - dot / (g_r @ g_r) * g_r), True


def sample_size(base, conflict_in_band, zeta_positive, zeta_negative):
    """PAPER.md section 3."""
    return base * (1 + zeta_positive) if conflict_in_band else base * (1 + zeta_negative)


def anneal(value, num_iterations, iterations_done):
    """Algorithm 1, line 1, applied iteration by iteration."""
    for _ in range(iterations_done):
        value = value - value / num_iterations
    return value


def trpo_step(gradient, fisher, target_kl):
    """Schulman et al. 2015: sqrt(2 delta / g^T F^-1 g) F^-1 g with a dense solve."""
    direction = np.linalg.solve(fisher, gradient)
    return np.sqrt(2 * target_kl / (gradient @ direction)) * direction


def running_statistics(batches):
    """Mean and standard deviation of everything seen."""
    everything = np.concatenate(batches)
    return everything.mean(axis=0), everything.std(axis=0)
