"""Kevin Hillstrom's MineThatData e-mail challenge (2008): 64,000 customers, one randomised decision each, as raw tables."""
