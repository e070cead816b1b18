"""Causal-Forcing: Wan 2.1 distilled from a causal teacher, chunk by chunk or frame by frame."""
