"""How fast the platform trains, and in how much memory."""
