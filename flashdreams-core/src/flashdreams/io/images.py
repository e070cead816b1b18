"""Images in."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from flashdreams.errors import ImageError

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from flashdreams.io.writer import Frames


_SENT = ("PNG", "JPEG", "WEBP")
"""What :func:`decode_image` takes; Pillow reads more, some of it by way of other programs."""
_SCAN, _SCANS = b"\xff\xda", 64
"""What begins a scan of a JPEG, and how many it may have: each may cost as much as a whole picture."""


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
    return as_pixels(_fitted(_read(Path(path)), size))


def decode_image(data: bytes, *, size: tuple[int, int], most_pixels: int) -> Frames:
    """Decode an image that somebody sent, uint8 ``[H, W, 3]``: turned, scaled and cut as by `read_image`.

    Args:
        data: A PNG, JPEG or WebP file.
        size: Height and width to bring it to.
        most_pixels: Pixels that it may have; what says that it has more is not decoded.

    Raises:
        ImageError: It is none of these, damaged, or too large. The text names no file and quotes nothing.
    """
    from PIL import Image

    if data.count(_SCAN) > _SCANS and data.startswith(b"\xff\xd8"):
        raise _not_sent("The image has more scans than any picture needs.")
    try:
        with Image.open(io.BytesIO(data), formats=_SENT) as image:
            if image.width * image.height <= most_pixels:
                return _fitted(_rgb(image), size)
    except Exception as error:  # whatever Pillow makes of bytes from anybody: it has no one error for them
        if not isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
            raise _not_sent("The file is no image that can be read, or it is damaged.") from error
    raise ImageError(
        "The image has too many pixels.",
        f"It may have {most_pixels:,}.",
        "Make it smaller, and send it again.",
    )


def as_pixels(frame: Frames) -> Tensor:
    """A frame, uint8 ``[H, W, 3]``, as pixels, float32 ``[1, 3, 1, H, W]`` in [-1, 1]."""
    import torch

    levels = torch.from_numpy(frame)
    return (levels.permute(2, 0, 1)[None, :, None].float() / 127.5 - 1).contiguous()


def _read(path: Path) -> Frames:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return _rgb(image)
    # Pillow has no one error for a damaged file.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _unreadable(path, isinstance(error, Image.DecompressionBombError)) from error


def _rgb(image: Image.Image) -> Frames:
    import numpy as np
    from PIL import ImageOps

    return np.array(ImageOps.exif_transpose(image).convert("RGB"))


def _not_sent(what: str) -> ImageError:
    return ImageError(what, "An image is a PNG, JPEG or WebP file.", "Save it as PNG, and send that.")


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
