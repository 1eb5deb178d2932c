"""A simulated world of members whose truth is known: latent needs, fatigue, and creatives that convert well and lose members."""
