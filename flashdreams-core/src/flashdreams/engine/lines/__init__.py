"""Stages of chunks as straight lines of calls to torch: what CUDA graphs are to a GPU, for a CPU."""
