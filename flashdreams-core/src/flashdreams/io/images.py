"""Images in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from flashdreams.errors import ImageError

if TYPE_CHECKING:
    from torch import Tensor

    from flashdreams.io.writer import Frames


def read_image(path: str | Path, *, size: tuple[int, int] | None = None) -> Tensor:
    """Read an image as pixels, float32 ``[1, 3, 1, H, W]`` in [-1, 1].

    It is turned as its camera says (EXIF), transparency is dropped, and of an animation the first
    frame is taken.

    Args:
        path: PNG, JPEG, or whatever else Pillow reads.
        size: Height and width to bring it to: scaled with a Lanczos filter to cover them, and cut about
            its centre. None keeps its own.

    Raises:
        ImageError: The file cannot be read, or is no image.
    """
    import torch

    levels = torch.from_numpy(_fitted(_read(Path(path)), size))
    return (levels.permute(2, 0, 1)[None, :, None].float() / 127.5 - 1).contiguous()


def _read(path: Path) -> Frames:
    import imageio.v3 as imageio
    from PIL import Image

    try:
        frame: Frames = imageio.imread(path, index=0, plugin="pillow", mode="RGB", rotate=True)
        return frame
    # Pillow has no one error for a damaged file, and imageio wraps some that it raises.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        is_bomb = any(isinstance(e, Image.DecompressionBombError) for e in (error, error.__cause__))
        raise _unreadable(path, is_bomb) from error


def _unreadable(path: Path, is_bomb: bool) -> ImageError:
    if not path.exists():
        return _image_error(f"There is no file {path}.", "Check its name.")
    if path.is_dir():
        return _image_error(f"{path} is a folder.", "Name a file in it.")
    if is_bomb:
        return _image_error(f"{path} has too many pixels to be safe to read.", "Make it smaller.")
    if not os.access(path, os.R_OK):
        return _image_error(f"{path} may not be read.", "Check its permissions.")
    return _image_error(
        f"{path} is no image, or a damaged one.", "Open it in an image viewer, and save it as PNG."
    )


def _image_error(what: str, next: str) -> ImageError:
    return ImageError(what, "An image is a PNG or JPEG file, for instance.", next)


def _fitted(frame: Frames, size: tuple[int, int] | None) -> Frames:
    import numpy as np
    from PIL import Image, ImageOps

    if size is None or frame.shape[:2] == size:
        return frame
    height, width = size
    image = ImageOps.fit(Image.fromarray(frame), (width, height), Image.Resampling.LANCZOS)
    return np.array(image)
