"""ESPO with softmax policies on constrained MDPs whose optimum is known: the paper's theory, measured."""
