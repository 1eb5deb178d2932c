"""The decision service: it decides, keeps what it decided, and learns from the answers."""
