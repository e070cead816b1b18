"""Causal-Forcing's slugs (Zhu et al. 2026), as configs over Wan's parts. No torch here."""

from __future__ import annotations

from flashdreams.infra.config import derive_config
from flashdreams_wan.config import distilled, vae_encoder

CAUSAL_FORCING_CHUNKWISE = distilled(
    "causal-forcing-wan2.1-t2v-1.3b-chunkwise",
    "Causal-Forcing: video from a prompt in 4 steps, 3 latent frames a chunk.",
    "flashdreams_causal_forcing:chunkwise",
)

CAUSAL_FORCING_FRAMEWISE = derive_config(
    CAUSAL_FORCING_CHUNKWISE,
    runner_name="causal-forcing-wan2.1-t2v-1.3b-framewise",
    description="Causal-Forcing: video from a prompt in 4 steps, one latent frame a chunk.",
    pipeline=dict(
        name="causal-forcing-wan2.1-t2v-1.3b-framewise",
        diffusion_model=dict(transformer=dict(weights="flashdreams_causal_forcing:framewise", chunk=1)),
    ),
    total_blocks=21,
)

CAUSAL_FORCING_I2V_FRAMEWISE = derive_config(
    CAUSAL_FORCING_FRAMEWISE,
    runner_name="causal-forcing-wan2.1-i2v-1.3b-framewise",
    description="Causal-Forcing: video from an image and a prompt in 4 steps, one latent frame a chunk.",
    pipeline=dict(
        name="causal-forcing-wan2.1-i2v-1.3b-framewise",
        diffusion_model=dict(
            transformer=dict(context_encoder=dict(first_frame="given", vae=vae_encoder())),
        ),
    ),
)
"""The frame-wise model begins from any latent frame: the image, encoded, is the first chunk."""
