"""Settings: one file per profile, one per source, environment on top."""
