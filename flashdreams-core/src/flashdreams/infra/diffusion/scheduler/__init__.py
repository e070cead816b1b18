"""Schedulers: the noise levels of a chunk, and the step from one to the next."""
