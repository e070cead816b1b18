"""Looking into a dream."""
