"""Decoders: from latents to pixels."""
