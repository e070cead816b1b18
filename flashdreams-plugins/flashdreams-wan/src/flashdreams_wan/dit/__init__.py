"""The diffusion transformer of Wan 2.1: causal over a KV cache, or over a whole clip at once."""
