"""ESPO on a bandit with exact values, in NumPy, from sections 2 and 8 of docs/paper.md; nothing of ours is imported."""

import numpy as np


def bandit_path(reward, cost, limit, discount, num_iterations, weight, fisher, constant=1):
    """V_c of each iterate and the weights of the output; one state, uniform start, settings of Theorem 4.1.

    `constant` is that of h+. The vectors that are compared are the Q tables minus their means, or the advantages in
    the Fisher product.
    """
    reward, cost = np.asarray(reward, float), np.asarray(cost, float)
    step = (1 - discount) ** 1.5 / np.sqrt(len(reward) * num_iterations)
    top = limit + constant * np.sqrt(len(reward) / num_iterations) / (1 - discount) ** 1.5
    logits, path, weights = np.zeros(len(reward)), [], []
    for _ in range(num_iterations):
        policy = np.exp(logits - logits.max())
        policy /= policy.sum()
        value = policy @ cost / (1 - discount)
        if fisher:
            g_r, g_c = reward - policy @ reward, -(cost - policy @ cost)
        else:
            g_r, g_c = reward - reward.mean(), -(cost - cost.mean())
        metric = policy if fisher else np.ones(len(reward))
        product = np.sum(metric * g_r * g_c)
        x_r, x_c = weight, 1 - weight
        if value > top:
            y_r, y_c = 0.0, 1.0
        elif value < limit:
            y_r, y_c = 1.0, 0.0
        elif product < 0:
            y_r = x_r - x_c * product / np.sum(metric * g_r**2)
            y_c = x_c - x_r * product / np.sum(metric * g_c**2)
        else:
            y_r, y_c = x_r, x_c
        path.append(value)
        weights.append(y_r)
        logits = logits + step / (1 - discount) * (y_r * g_r + y_c * g_c)
    return np.array(path), np.array(weights), top
