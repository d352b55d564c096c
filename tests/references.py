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
    """docs/paper.md, section 2, one constraint: which rows of the table apply."""
    if cost > limit + slack_positive:
        return "cost"
    if cost < limit + slack_negative:
        return "reward"
    return "balance"


def espo_direction(mode, g_r, g_c, x_r):
    """docs/paper.md, section 2: the direction of each mode, and whether the gradients conflict."""
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
    """docs/paper.md, section 3."""
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


def switch(cost, limit, tolerance):
    """CRPO (Xu et al. 2021, algorithm 1): which objective to follow, 0 the reward, k the k-th constraint."""
    excess = [(c - b) / b for c, b in zip(cost, limit, strict=True)]
    over = [k for k in range(len(cost)) if cost[k] > limit[k] + tolerance]
    return 0 if not over else 1 + max(over, key=lambda k: excess[k])


def pcpo_step(g, a, h, c, target_kl):
    """PCPO with one constraint (docs/paper.md, section 9), a = gradient of the cost, c its violation."""
    h_g, h_a = np.linalg.solve(h, g), np.linalg.solve(h, a)
    size = np.sqrt(2 * target_kl / (g @ h_g))
    return size * h_g - max(0.0, (size * a @ h_g + c) / (a @ h_a)) * h_a


def gaussian_ratio(old_log_prob, mean, log_std, action):
    return np.exp(gaussian_log_prob(mean, log_std, action) - old_log_prob)


def ppo_loss(mean, log_std, action, old_log_prob, advantage, clip):
    """Schulman et al. 2017, eq. 7, sample by sample: minus the mean clipped surrogate."""
    ratios = gaussian_ratio(old_log_prob, mean, log_std, action)
    total = 0.0
    for ratio, a in zip(ratios.ravel(), advantage.ravel(), strict=True):
        clipped = min(max(ratio, 1 - clip), 1 + clip)
        total += min(ratio * a, clipped * a)
    return -total / ratios.size


def lagrangian_advantage(reward_advantage, cost_advantage, multiplier):
    """(A_r - sum_k nu_k A_c,k) / (1 + sum_k nu_k), cost_advantage [..., K]."""
    return (reward_advantage - cost_advantage @ multiplier) / (1 + sum(multiplier))


def cup_projection_loss(mean, log_std, half_mean, half_log_std, action, old_log_prob, cost_advantage, nu, gamma, lam):
    """CUP's second phase: mean of KL(pi, pi_half) + nu (1 - gamma lambda) / (1 - gamma) ratio A_c."""
    kl = gaussian_kl(mean, log_std, half_mean, half_log_std)
    ratio = gaussian_ratio(old_log_prob, mean, log_std, action)
    coefficient = (1 - gamma * lam) / (1 - gamma)
    return np.mean(kl + ratio * (cost_advantage @ (np.asarray(nu) * coefficient)))


def multiplier_ascent(value, violations, learning_rate):
    """nu <- max(0, nu + lr (V_c - b)), once for each violation."""
    for violation in violations:
        value = max(0.0, value + learning_rate * violation)
    return value


def central_differences(loss, params):
    """Gradient [P] of a function of [P] numbers."""
    shifts = 1e-6 * np.eye(params.size)
    return np.array([(loss(params + shift) - loss(params - shift)) / 2e-6 for shift in shifts])


def adam_descent(loss, params, num_steps, learning_rate, max_norm, state=None):
    """Kingma & Ba 2015 on gradients by central differences, clipped to a norm."""
    first, second, t = state or (np.zeros_like(params), np.zeros_like(params), 0)
    for _ in range(num_steps):
        gradient = central_differences(loss, params)
        gradient *= min(1.0, max_norm / np.linalg.norm(gradient))
        t += 1
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        params = params - learning_rate * (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
    return params, (first, second, t)


def norm_test_size(sample_gradients, tolerance):
    """Byrd et al. 2012: sum_j Var(g_j) / (theta^2 |g|^2) from one gradient per sample."""
    mean = sample_gradients.mean(axis=0)
    return sample_gradients.var(axis=0, ddof=1).sum() / (tolerance**2 * mean @ mean)


def inner_product_test_size(sample_gradients, tolerance):
    """Bollapragada et al. 2018: Var(g_i . g) / (theta^2 |g|^4) from one gradient per sample."""
    mean = sample_gradients.mean(axis=0)
    return (sample_gradients @ mean).var(ddof=1) / (tolerance**2 * (mean @ mean) ** 2)


def norm_test_size_from_blocks(block_gradients, counts, tolerance):
    """The same from means of n_b samples each, whose variance is a n_b-th of a sample's."""
    mean = sum(n * g for n, g in zip(counts, block_gradients, strict=True)) / sum(counts)
    between = sum(n * np.sum((g - mean) ** 2) for n, g in zip(counts, block_gradients, strict=True))
    return between / (len(counts) - 1) / (tolerance**2 * mean @ mean)


def inner_product_test_size_from_blocks(block_gradients, counts, tolerance):
    mean = sum(n * g for n, g in zip(counts, block_gradients, strict=True)) / sum(counts)
    between = sum(n * ((g - mean) @ mean) ** 2 for n, g in zip(counts, block_gradients, strict=True))
    return between / (len(counts) - 1) / (tolerance**2 * (mean @ mean) ** 2)


def conflict_angle_size(base, angle, in_band, zeta_positive, zeta_negative):
    """Between the bounds, in proportion to the angle."""
    low, high = base * (1 + zeta_negative), base * (1 + zeta_positive)
    return low + (high - low) * angle / np.pi if in_band else low
