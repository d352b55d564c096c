"""One module per task: model, observation, reward, cost, reset, and the published limit and length."""
