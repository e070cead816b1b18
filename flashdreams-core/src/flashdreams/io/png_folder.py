"""A folder of PNG frames: lossless, and whole at any moment."""

from __future__ import annotations

from pathlib import Path

from flashdreams.io.writer import Frames, VideoWriter

PATTERN = "frame-*.png"


class PngFolderWriter(VideoWriter):
    """``frame-000000.png`` and so on; a frame appears under its name once it is complete."""

    def __init__(self, path: Path, *, fps: float, height: int, width: int, overwrite: bool = False) -> None:
        super().__init__(path, fps=fps, height=height, width=width)
        path.mkdir(parents=True, exist_ok=True)
        if overwrite:
            for old in path.glob(PATTERN):
                old.unlink()

    def _write_frame(self, frame: Frames) -> None:
        import imageio.v3 as imageio

        unfinished = self.path / ".unfinished"
        try:
            unfinished.write_bytes(imageio.imwrite("<bytes>", frame, extension=".png"))
            unfinished.replace(self.path / f"frame-{self.frames:06d}.png")
        finally:
            unfinished.unlink(missing_ok=True)

    def _finish(self) -> None:
        """Nothing is left to do: every frame is a file of its own."""
