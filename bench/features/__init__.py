"""The feature store's own speed: materialization and lookups, stock Feast and ours in one run."""
