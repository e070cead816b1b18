import resource
import signal

import numpy as np
import pytest
import torch

from flashdreams.io.latents import LatentsWriter, read_latents, to_array


def latents(chunk, frames=3):
    return np.random.default_rng(chunk).standard_normal((2, 4, frames, 6, 5)).astype(np.float32)


def test_chunks_come_back_as_one_video(tmp_path):
    with LatentsWriter(tmp_path / "z.npz") as writer:
        for chunk in range(12):
            writer.write(latents(chunk))
    assert writer.frames == 36
    assert (read_latents(tmp_path / "z.npz") == np.concatenate([latents(c) for c in range(12)], axis=2)).all()
    with np.load(tmp_path / "z.npz") as chunks:
        assert list(chunks)[-1] == "chunk-000011"


def test_the_file_is_whole_after_each_chunk(tmp_path):
    writer = LatentsWriter(tmp_path / "z.npz")
    for chunk in range(3):
        writer.write(latents(chunk))
        assert read_latents(tmp_path / "z.npz").shape[2] == 3 * (chunk + 1)


@pytest.mark.parametrize("room", [0, 1, 200, 1500, 2900])
def test_a_chunk_that_does_not_fit_is_taken_back(tmp_path, room):
    writer = LatentsWriter(tmp_path / "z.npz")
    writer.write(latents(0))
    writer.write(latents(1))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "z.npz").stat().st_size + room, limits[1]))
        with pytest.raises(OSError, match="File too large"):
            writer.write(latents(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert writer.frames == 6
    assert read_latents(tmp_path / "z.npz").shape[2] == 6
    writer.write(latents(2))
    assert (read_latents(tmp_path / "z.npz")[:, :, 6:] == latents(2)).all()


def test_an_existing_file_is_replaced_only_when_asked(tmp_path):
    with LatentsWriter(tmp_path / "z.npz") as writer:
        writer.write(latents(0))
    with pytest.raises(FileExistsError):
        LatentsWriter(tmp_path / "z.npz")
    with LatentsWriter(tmp_path / "z.npz", overwrite=True) as writer:
        writer.write(latents(5))
    assert (read_latents(tmp_path / "z.npz") == latents(5)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_every_dtype_of_latents_is_held_exactly(dtype):
    values = torch.randn(1, 4, 2, 3, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    held = to_array(values)
    assert held.dtype == (np.float16 if dtype == torch.float16 else np.float32)
    assert torch.equal(torch.from_numpy(held).to(dtype), values)
