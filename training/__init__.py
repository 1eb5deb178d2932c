"""The Rightmatch library: domain < config < model, evaluation < adapters < bootstrap < steps < cli."""
