"""Runs of the family: prompts, images and checkpoints, as people give them."""
