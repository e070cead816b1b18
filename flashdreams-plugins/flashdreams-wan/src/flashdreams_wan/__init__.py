"""The Wan 2.1 family: causal and bidirectional video transformers, their VAE, text and image encoders."""
