"""Time of the Wan VAE beside diffusers' on the same weights, decoding and encoding a clip.

    python benchmarks/wan_vae.py [--height 96] [--width 160] [--latent-frames 3] [--dtype float32]
        [--base-width 96] [--rounds 5] [--threads 1]

Both have the full architecture unless told otherwise, random weights, and one clip; they take turns, round by
round. Ours runs as in a rollout, one call a clip, the state included. The last line is JSON.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path

import diffusers
import torch
from safetensors.torch import save_file

from flashdreams.infra.config.placement import placing
from flashdreams_wan.vae.config import WanVAEDecoderConfig, WanVAEEncoderConfig


def build(options):
    """Diffusers' VAE, and our two halves from the file that it saves."""
    dtype = getattr(torch, options.dtype)
    torch.manual_seed(0)
    theirs = diffusers.AutoencoderKLWan(base_dim=options.base_width).eval().requires_grad_(False)
    fields = dict(
        base_width=options.base_width,
        latent_mean=tuple([0.0] * 16),
        latent_std=tuple([1.0] * 16),
    )
    with tempfile.TemporaryDirectory() as folder, placing(dtype=options.dtype):
        file = Path(folder) / "vae.safetensors"
        save_file(theirs.state_dict(), file)
        decoder = WanVAEDecoderConfig(weights=str(file), **fields).setup().to(dtype)
        encoder = WanVAEEncoderConfig(weights=str(file), **fields).setup().to(dtype)
    return theirs.to(dtype), decoder, encoder


def seconds(function, given):
    """Seconds of one call."""
    start = time.perf_counter()
    function(given)
    return time.perf_counter() - start


def compare(name, ours, theirs, given, rounds):
    """Medians of alternating calls, after one of each whose results are compared."""
    difference = (ours(given).float() - theirs(given).float()).abs().max().item()
    times = [(seconds(ours, given), seconds(theirs, given)) for _ in range(rounds)]
    mine, other = (statistics.median(column) for column in zip(*times, strict=True))
    return {
        "what": name,
        "ours_s": mine,
        "diffusers_s": other,
        "ratio": statistics.median(a / b for a, b in times),
        "largest_difference": difference,
    }


@torch.no_grad()
def measure(options):
    """Both directions."""
    theirs, decoder, encoder = build(options)
    dtype = getattr(torch, options.dtype)
    frames, height, width = options.latent_frames, options.height, options.width
    latents = torch.randn(1, 16, frames, height // 8, width // 8).to(dtype)
    pixels = (torch.rand(1, 3, 4 * frames - 3, height, width) * 2 - 1).to(dtype)
    return [
        compare("decode", decoder.decode, lambda z: theirs.decode(z).sample, latents, options.rounds),
        compare(
            "encode", encoder.encode, lambda x: theirs.encode(x).latent_dist.mean, pixels, options.rounds
        ),
    ]


def main():
    """Measure, print a table, and end with JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("height", 96), ("width", 160), ("latent-frames", 3), ("base-width", 96)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = measure(options)
    print(f"{'':8} {'ours s':>8} {'diffusers s':>12} {'ratio':>6} {'difference':>11}")
    for row in rows:
        print(
            f"{row['what']:8} {row['ours_s']:>8.3f} {row['diffusers_s']:>12.3f} {row['ratio']:>6.2f} "
            f"{row['largest_difference']:>11.1e}"
        )
    versions = {
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "python": platform.python_version(),
    }
    print(json.dumps({"machine": platform.machine(), **versions, **vars(options), "results": rows}))


if __name__ == "__main__":
    main()
