import errno
import re
import resource
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

from flashdreams.errors import OutputBrokenOffError
from flashdreams.infra.config import derive_config
from flashdreams.io.latents import read_latents


def limit_files():
    """Let no file grow beyond 24 KiB: the kernel breaks writes off, as a full disk does."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (24576, 24576))


def test_a_full_disk_leaves_a_playable_file_and_says_so(finished, tmp_path, decode):
    flags = ("--output", "v.mp4", "--total-blocks", "2000", "--scale", "16", "--progress", "off")
    code, _, err = finished("run", "toy", *flags, preexec_fn=limit_files)
    lines = err.splitlines()
    said = re.fullmatch(r"Stopped by the disk: (\d+) frames are in v\.mp4\.", lines[0])
    assert said, err
    assert lines[1:] == [
        "error: v.mp4 could not be written to its end: File too large.",
        "       What was written before can be used.",
        "       Make room, and run it again.",
    ]
    assert code == OutputBrokenOffError.exit_code
    assert len(decode(tmp_path / "v.mp4")) == int(said[1]) >= 16
    made = yaml.safe_load((tmp_path / "v.mp4.run.yaml").read_text())["made"]
    assert (made["finished"], made["frames"]) == (False, int(said[1]))


def can_mount():
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return False
    return (
        subprocess.run(
            ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True
        ).returncode
        == 0
    )


SMALL_DISK = """
import errno, pathlib, shutil, subprocess, sys
small, kept, suffix = pathlib.Path("/mnt"), pathlib.Path(sys.argv[1]), sys.argv[2]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "none", "/mnt"], check=True)
import runner_toys
from flashdreams.errors import OutputBrokenOffError
from flashdreams.infra.config import derive_config
config = derive_config(runner_toys.TOY, output=small / f"v{suffix}", total_blocks=4000, scale=24)
try:
    derive_config(config, progress="off").setup().run()
except OutputBrokenOffError as error:
    print(error.__cause__.errno == errno.ENOSPC, flush=True)
shutil.copytree(small, kept)
"""


@pytest.mark.skipif(not can_mount(), reason="needs leave to mount a file system in a namespace")
@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".npz", ""])
def test_a_disk_that_is_really_full(tmp_path, decode, suffix):
    ran = subprocess.run(
        ["unshare", "-rm", sys.executable, "-c", SMALL_DISK, tmp_path / "kept", suffix],
        env={
            "PYTHONPATH": str(__file__).rpartition("/")[0],
            "OMP_NUM_THREADS": "1",
            "PATH": "/usr/bin:/bin:/sbin",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.stdout == "True\n", ran.stderr
    frames = int(re.search(r": (\d+) (latent )?frames are in /mnt/v", ran.stderr)[1])
    assert frames > 4
    output = tmp_path / f"kept/v{suffix}"
    match suffix:
        case ".npz":
            assert read_latents(output).shape[2] == frames
        case "":
            images = [np.asarray(Image.open(path)) for path in output.iterdir()]
            assert len(images) == frames
        case ".gif":
            with Image.open(output) as image:
                assert image.n_frames == frames
        case ".mp4":
            assert len(decode(output)) == frames
    assert yaml.safe_load((tmp_path / f"kept/v{suffix}.run.yaml").read_text())["made"]["finished"] is False


@pytest.mark.parametrize("name", ["v.mp4", "v.gif", "v.npz"])
def test_a_device_without_any_room(toys, tmp_path, name):
    (tmp_path / name).symlink_to("/dev/full")
    config = derive_config(toys.PLAIN, output=tmp_path / name, overwrite=True, total_blocks=60)
    with pytest.raises(OutputBrokenOffError) as caught:
        config.setup().run()
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert str(caught.value).splitlines() == [
        f"{tmp_path / name} could not be written to its end: No space left on device.",
        "What was written before can be used.",
        "Make room, and run it again.",
    ]
