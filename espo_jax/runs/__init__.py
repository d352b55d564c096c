"""Everything that writes a run directory: settings, metrics, checkpoints, policies, results."""
