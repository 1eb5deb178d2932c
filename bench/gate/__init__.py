"""The gate's promises in simulated experiments of known truth: thousands of them at once, each looked at daily."""
