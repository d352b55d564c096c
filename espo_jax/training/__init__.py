"""Running an algorithm: the loop, evaluation, run directories, curves and progress."""
