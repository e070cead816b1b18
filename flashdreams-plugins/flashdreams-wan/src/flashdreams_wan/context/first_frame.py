"""The first frame of a video that starts from an image: checked, and as further input channels."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor

from flashdreams.errors import ImageError, InputError
from flashdreams.infra.conditions import Conditions
from flashdreams.infra.encoder.base import StreamingEncoder

LATENT_FRAMES = 21
"""Latent frames of a whole clip of Wan 2.1: 81 pixel frames."""


def checked_first_frame(conditions: Conditions) -> Tensor:
    """The first frame, ``[B or 1, 3, 1, H, W]``.

    Raises:
        InputError: There is none.
        ImageError: It has another shape than the video.
    """
    pixels, batch = conditions.first_frame, conditions.batch_size
    size = (conditions.height, conditions.width)
    if pixels is None:
        raise InputError(
            "No first frame was given.",
            "This model makes video from an image.",
            "Give first_frame, such as flashdreams.io.images.read_image(path, size=(height, width)).",
        )
    shape = tuple(pixels.shape) if isinstance(pixels, Tensor) else ()
    if shape[1:] != (3, 1, *size) or shape[0] not in (1, batch):
        raise ImageError(
            f"first_frame is {list(shape) if shape else type(pixels).__name__}.",
            f"It is pixels in [-1, 1] of the video's size, [{batch}, 3, 1, {size[0]}, {size[1]}].",
            f"Read an image with flashdreams.io.images.read_image(path, size={size}).",
        )
    return pixels


def checked_latent_frames(given: Any) -> int:
    """Latent frames of the clip, as given or as published.

    Raises:
        InputError: It is no whole number above zero.
    """
    try:
        frames = LATENT_FRAMES if given is None else operator.index(given)
    except TypeError:
        frames = 0
    if frames < 1:
        raise InputError(
            f"latent_frames is {given!r}.",
            "It counts the latent frames of the whole clip, 1 or more.",
            f"Leave it out for {LATENT_FRAMES}.",
        )
    return frames


def condition_channels(vae: StreamingEncoder, pixels: Tensor, latent_frames: int, stride: int) -> Tensor:
    """What Wan's image-to-video model sees beside the noisy latents, ``[B, stride + C, T, h, w]``.

    First the mask of :func:`known_frames`, then the latents of a clip that is grey after its first frame.

    Args:
        vae: Encoder of pixels, called chunk by chunk.
        pixels: The first frame, ``[B, 3, 1, H, W]`` in [-1, 1].
        latent_frames: Latent frames of the clip, ``T``.
        stride: Pixel frames of each latent frame but the first.
    """
    grey = pixels.new_zeros(len(pixels), 3, stride, *pixels.shape[3:])
    first, state = vae(pixels, None)
    latents = [first]
    for _ in range(latent_frames - 1):
        frame, state = vae(grey, state)
        latents.append(frame)
    clip = torch.cat(latents, dim=2)
    mask = known_frames(latent_frames, stride).to(clip)
    return torch.cat([mask[None, :, :, None, None].expand(len(clip), -1, -1, *clip.shape[3:]), clip], dim=1)


def known_frames(latent_frames: int, stride: int) -> Tensor:
    """Which pixel frames are given, ``[stride, T]``: 1 for those of the first latent frame, else 0.

    A column holds the pixel frames of one latent frame. The first latent frame has one pixel frame only,
    which Wan's published code repeats to fill its column.
    """
    known = torch.zeros(stride, latent_frames)
    known[:, 0] = 1
    return known
