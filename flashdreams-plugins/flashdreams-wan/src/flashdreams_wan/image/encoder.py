"""The image encoder: the first frame to the tokens that the transformer's image attention reads."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flashdreams.infra.encoder.base import Encoder
from flashdreams_wan.image.config import WanImageEncoderConfig
from flashdreams_wan.image.tower import load_tower
from flashdreams_wan.transient import TransientModule, anchor

MEAN = (0.48145466, 0.4578275, 0.40821073)
"""Mean of red, green and blue in [0, 1] in CLIP's training data, as published with it."""
STD = (0.26862954, 0.26130258, 0.27577711)
"""Standard deviation of the same."""


class WanImageEncoder(Encoder):
    """CLIP's vision tower, in memory only while an image is encoded.

    Its weights are no part of the module tree: see :meth:`transient`. It computes and answers in the dtype
    and on the device that it is moved to, unless the config names another device to compute on.
    """

    config: WanImageEncoderConfig
    _anchor: Tensor
    """Nothing, in the dtype and on the device of the tokens."""

    def __init__(self, config: WanImageEncoderConfig) -> None:
        super().__init__(config)
        self.register_buffer("_anchor", anchor(), persistent=False)
        self.tower = TransientModule(
            partial(load_tower, config), keep=config.keep == "keep", device=config.device
        )

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        """Tokens ``[B, 257, 1280]`` of pixels ``[B, 3, H, W]`` in [-1, 1].

        Wan takes all tokens as they leave the last block but one of CLIP, without a norm.

        Raises:
            WeightsError: The weights cannot be loaded.
        """
        here, size = self._anchor, self.config.image_size
        if here.is_meta:
            return self.tower.skeleton(here.dtype)(prepare(pixels.to(here), size))
        images = prepare(pixels.float(), size)

        def see(tower: nn.Module) -> Tensor:
            return tower(images.to(next(tower.parameters()))).to(here)

        return self.tower.use(see, here.dtype, beside=here.device)

    def transient(self) -> dict[str, nn.Module]:
        """The tower as a skeleton on ``meta``."""
        return {"image": self.tower.skeleton(self._anchor.dtype)}


def prepare(pixels: Tensor, size: int) -> Tensor:
    """Pixels ``[B, 3, H, W]`` in [-1, 1] as CLIP sees them: a bicubic square, of CLIP's mean and spread."""
    square = F.interpolate(pixels, size=(size, size), mode="bicubic", align_corners=False)
    mean, std = (pixels.new_tensor(values)[:, None, None] for values in (MEAN, STD))
    return (square / 2 + 0.5 - mean) / std
