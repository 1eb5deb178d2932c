"""Benchmarks: repeatable proofs of what the learner is worth. Above everything else; nothing imports this package."""
