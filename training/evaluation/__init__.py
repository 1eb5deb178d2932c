"""Off-policy estimates and tests (numpy and scipy)."""
