"""Graphs of the stages of a chunk: captured once, replayed for every chunk and rollout that fits."""
