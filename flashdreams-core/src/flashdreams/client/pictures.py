"""Images that a client sends."""

from __future__ import annotations

from pathlib import Path

from flashdreams.errors import ImageError

KINDS = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}
"""Media types of images by how their bytes begin."""


def read_picture(image: bytes | str | Path) -> tuple[bytes, str]:
    """The bytes of an image and their media type.

    Args:
        image: The bytes of a PNG, JPEG or WebP file, or its path.

    Raises:
        ImageError: They are none of these, or there is no such file.
    """
    data = image if isinstance(image, bytes) else _read(image)
    kind = next((kind for start, kind in KINDS.items() if data.startswith(start)), None)
    if kind is None:
        raise ImageError(
            f"The image begins with {data[:8]!r}.",
            "An image is a PNG, JPEG or WebP file.",
            "Convert it, or give another.",
        )
    return data, kind


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise _no_file(f"{str(path)!r} cannot be read: {reason}.") from error
    except TypeError as error:
        raise _no_file(f"The image is of the type {type(path).__name__}.") from error


def _no_file(what: str) -> ImageError:
    return ImageError(
        what,
        "An image is the path of a PNG, JPEG or WebP file, or the bytes of one.",
        "Check the path. The name of an image that was uploaded is for reset(image=NAME).",
    )
