"""TAEHV, a tiny decoder of Wan 2.1 latents: previews and frame rates that the full VAE cannot reach."""
