"""The infrastructure of streaming video diffusion: configs, components, pipeline, runner."""
