"""Compiled regions: made in another process, kept on disk, swapped in and out from outside the model."""
