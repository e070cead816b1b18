"""The Wan 2.1 VAE: video to latents and back, chunk by chunk."""
