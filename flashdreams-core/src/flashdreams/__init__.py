"""FlashDreams: streaming video diffusion and interactive world models."""
