"""Config of the image encoder. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from flashdreams.errors import FieldValueError
from flashdreams.infra.encoder.config import EncoderConfig
from flashdreams.io.lock import references_in


@dataclass(kw_only=True)
class WanImageEncoderConfig(EncoderConfig):
    """The vision tower of CLIP (arXiv 2103.00020); defaults are those of ViT-H/14, which Wan I2V reads."""

    _target: Any = "flashdreams_wan.image.encoder:WanImageEncoder"

    width: int = 1280
    """Width of the tokens."""
    mlp_width: int = 5120
    """Width inside the MLP of each block."""
    layers: int = 31
    """Blocks that are run. The published tower has 32, and Wan reads the output of the last but one."""
    heads: int = 16
    """Attention heads."""
    patch: int = 14
    """Height and width of a patch in pixels."""
    image_size: int = 224
    """Height and width in pixels that images are brought to."""
    weights: str = "random"
    """Weights: "random", a lock reference such as "flashdreams_wan:image-encoder", a file or a folder."""
    weights_seed: int = 0
    """Seed of random weights."""
    keep: Literal["release", "keep"] = "release"
    """Whether the weights stay in memory after an image was encoded, or are released."""
    device: str = "auto"
    """Where images are encoded; "auto" is beside the transformer if there is room, else the CPU."""

    def __post_init__(self) -> None:
        for name, whole in (("width", self.heads), ("image_size", self.patch)):
            if whole < 1 or getattr(self, name) < 1 or getattr(self, name) % whole:
                raise FieldValueError(
                    f"{name} is {getattr(self, name)}, to be divided by {whole}.",
                    "heads divide the width, and patches the image, without a rest.",
                    f"Set {name} to a multiple; ViT-H/14 has the default.",
                )

    @property
    def tokens(self) -> int:
        """Tokens of an image: one a patch, and the class token before them; 257 as published."""
        return 1 + (self.image_size // self.patch) ** 2

    def weight_references(self) -> list[str]:
        """The entries of lock files that are needed."""
        return references_in(self.weights)
