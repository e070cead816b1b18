"""How published files name the tensors of the VAE. Our names are the official ones."""

from __future__ import annotations

from flashdreams.io.layout import Layout
from flashdreams_wan.vae.config import WanVAEConfig

ENCODER = r"^(encoder|conv1)\."
"""Names of the encoder's half of a file."""
DECODER = r"^(decoder|conv2)\."
"""Names of the decoder's half of a file."""

_DIFFUSERS_ENDS = (
    (r"^quant_conv\.", "conv1."),
    (r"^post_quant_conv\.", "conv2."),
    (r"^(encoder|decoder)\.conv_in\.", r"\1.conv1."),
    (r"^(encoder|decoder)\.norm_out\.", r"\1.head.0."),
    (r"^(encoder|decoder)\.conv_out\.", r"\1.head.2."),
)
_DIFFUSERS_BLOCKS = (
    (r"\.mid_block\.attentions\.0\.", ".middle.1."),
    (r"\.mid_block\.resnets\.0\.", ".middle.0."),
    (r"\.mid_block\.resnets\.1\.", ".middle.2."),
    (r"\.down_blocks\.", ".downsamples."),
)
_DIFFUSERS_LAYERS = (
    (r"(\.\d+)\.norm1\.", r"\1.residual.0."),
    (r"(\.\d+)\.conv1\.", r"\1.residual.2."),
    (r"(\.\d+)\.norm2\.", r"\1.residual.3."),
    (r"(\.\d+)\.conv2\.", r"\1.residual.6."),
    (r"\.conv_shortcut\.", ".shortcut."),
)


def layouts(config: WanVAEConfig, half: str) -> tuple[Layout, ...]:
    """The layouts of files of an architecture, of which :data:`ENCODER` or :data:`DECODER` is taken."""
    renames = (*_DIFFUSERS_ENDS, *_DIFFUSERS_BLOCKS, *_up_blocks(config), *_DIFFUSERS_LAYERS)
    return (
        Layout("Wan 2.1's own names", only=half, marker=r"^(encoder|decoder)\.middle\.0\."),
        Layout("diffusers' names", renames=renames, only=half, marker=r"^(encoder|decoder)\.mid_block\."),
    )


def _up_blocks(config: WanVAEConfig) -> tuple[tuple[str, str], ...]:
    """Diffusers counts the decoder's layers by resolution, the published code all in one row."""
    parts = [*(rf"resnets\.{index}" for index in range(config.residual_blocks + 1)), r"upsamplers\.0"]
    return tuple(
        (rf"\.up_blocks\.{level}\.{part}\.", f".upsamples.{level * len(parts) + index}.")
        for level in range(len(config.multipliers))
        for index, part in enumerate(parts)
    )
