"""ESPO with softmax policies on constrained MDPs whose optimum a linear programme knows: the paper's theory, measured."""
