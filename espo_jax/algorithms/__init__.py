"""Algorithms: each a pair of pure functions (init, step), in a file of its own."""
