"""Run as a script: writes MP4s under a limit of file size, from nothing to enough, and says what is left.

The limit (RLIMIT_FSIZE) makes the kernel refuse a write half-way, as a full disk does. One line for each
limit: bytes allowed, frames that the writer counts, frames that decode.
"""

import resource
import signal
import sys
from pathlib import Path

import av
import numpy as np

from flashdreams.io.mp4 import Mp4Writer


def write(path: Path) -> Mp4Writer:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    frames = np.stack([np.roll(picture, shift, axis=1) for shift in range(100)])
    writer = Mp4Writer(path, fps=16, height=64, width=64, overwrite=True)
    try:
        with writer:
            writer.write(frames)
    except OSError:
        pass
    return writer


def decodable(path: Path) -> int:
    if path.stat().st_size == 0:
        return 0
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0)) if container.streams.video else 0


def main(path: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    write(path)
    whole = path.stat().st_size
    for limit in [*range(0, whole, whole // 40), whole - 1, whole]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        writer = write(path)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(limit, writer.frames, decodable(path))


main(Path(sys.argv[1]))
