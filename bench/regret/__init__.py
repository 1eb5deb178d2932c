"""Regret: what a policy loses while it learns, on labelled data turned into a bandit and on the wheel."""
