"""Transformers: what predicts the flow of a chunk, given the chunks before it."""
