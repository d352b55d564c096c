"""One module per robot: model, observation, reward, cost, health, reset, published limit."""
