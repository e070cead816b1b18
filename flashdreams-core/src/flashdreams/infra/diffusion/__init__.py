"""Diffusion: the transformer that predicts, the scheduler that steps, the model that loops."""
