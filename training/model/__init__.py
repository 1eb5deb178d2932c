"""Models: two towers, matching layers, heads, posterior, selection (torch)."""
