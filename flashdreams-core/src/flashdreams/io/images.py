"""Images in."""

from __future__ import annotations

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
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        missing = not path.exists()
        raise ImageError(
            f"There is no file {path}." if missing else f"{path} cannot be read as an image: {error}.",
            "An image is a PNG or JPEG file, for instance.",
            "Check its name." if missing else "Open it in an image viewer, and save it as PNG.",
        ) from error


def _fitted(frame: Frames, size: tuple[int, int] | None) -> Frames:
    import numpy as np
    from PIL import Image, ImageOps

    if size is None or frame.shape[:2] == size:
        return frame
    height, width = size
    image = ImageOps.fit(Image.fromarray(frame), (width, height), Image.Resampling.LANCZOS)
    return np.array(image)
