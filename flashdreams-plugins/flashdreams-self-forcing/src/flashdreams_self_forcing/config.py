"""Self-Forcing's slugs (Huang et al. 2025), as configs over Wan's parts. No torch here."""

from __future__ import annotations

from flashdreams.infra.config import derive_config
from flashdreams_taehv.config import taew2_1
from flashdreams_wan.config import TINY_DECODER, TINY_SIZE, TINY_TRANSFORMER, distilled

SELF_FORCING = distilled(
    "self-forcing-wan2.1-t2v-1.3b",
    "Self-Forcing: video from a prompt in 4 steps a chunk, streamed, with the full VAE.",
    "flashdreams_self_forcing:self-forcing-dmd",
)

SELF_FORCING_TAEHV = derive_config(
    SELF_FORCING,
    runner_name="self-forcing-wan2.1-t2v-1.3b-taehv",
    description="Self-Forcing with the tiny decoder TAEHV: a little less sharp, much faster.",
    pipeline=dict(
        name="self-forcing-wan2.1-t2v-1.3b-taehv",
        decoder=taew2_1(),
    ),
)

SELF_FORCING_SINK = derive_config(
    SELF_FORCING,
    runner_name="self-forcing-wan2.1-t2v-1.3b-sink",
    description="Self-Forcing without end: the first chunk is never forgotten, positions never grow.",
    pipeline=dict(
        name="self-forcing-wan2.1-t2v-1.3b-sink",
        diffusion_model=dict(transformer=dict(sink=3, rope_positions="window")),
    ),
    total_blocks=40,
)
"""Attention sinks and positions within the window, on weights that were trained without them."""

SELF_FORCING_TINY = derive_config(
    SELF_FORCING,
    runner_name="self-forcing-tiny",
    description="Self-Forcing's code at a toy size with random weights: moving colours, no download.",
    pipeline=dict(
        name="self-forcing-tiny",
        diffusion_model=dict(
            transformer=derive_config(TINY_TRANSFORMER, context_encoder=dict(negative_prompt=None))
        ),
        decoder=TINY_DECODER,
        **TINY_SIZE,
    ),
    scale=4,
    threads=1,
)
